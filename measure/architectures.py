"""Shapes of real models, from which a synthetic file of the right size and speed can be written."""

from dataclasses import dataclass

from planner.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """The dimensions of a dense decoder of the Llama family: all that speed and memory depend on.

    `tied` says that the output projection is the embedding matrix itself. `source` is where the figures were read.
    """

    name: str
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    feed_forward: int
    vocabulary: int
    context_tokens: int
    rope_theta: float
    norm_epsilon: float
    tied: bool
    source: str

    @property
    def matrix_parameters(self) -> int:
        """Weights in matrices, the ones that are quantised."""
        attention = 2 * self.hidden * self.head_dim * (self.heads + self.kv_heads)
        block = attention + 3 * self.hidden * self.feed_forward
        embeddings = self.vocabulary * self.hidden * (1 if self.tied else 2)
        return self.layers * block + embeddings

    @property
    def parameters(self) -> int:
        """All weights. SmolLM2-135M: 30 blocks of 3,540,096 + 49,152 x 576 + 576 = 134,515,008."""
        return self.matrix_parameters + self.hidden * (2 * self.layers + 1)

    def kv_bytes_per_token(self, bytes_per_element: int = 2) -> int:
        """Keys and values of one token in all layers [bytes]; 2 bytes per element is the 16-bit cache.

        SmolLM2-135M: 2 x 30 layers x 3 heads x 64 x 2 = 23,040 bytes.
        """
        return 2 * self.layers * self.kv_heads * self.head_dim * bytes_per_element


CATALOGUE = (
    Architecture(
        name="SmolLM2-135M",
        hidden=576,
        layers=30,
        heads=9,
        kv_heads=3,
        head_dim=64,
        feed_forward=1536,
        vocabulary=49152,
        context_tokens=8192,
        rope_theta=100000.0,
        norm_epsilon=1e-5,
        tied=True,
        source="config.json of HuggingFaceTB/SmolLM2-135M on Hugging Face",
    ),
    Architecture(
        name="SmolLM2-360M",
        hidden=960,
        layers=32,
        heads=15,
        kv_heads=5,
        head_dim=64,
        feed_forward=2560,
        vocabulary=49152,
        context_tokens=8192,
        rope_theta=100000.0,
        norm_epsilon=1e-5,
        tied=True,
        source="config.json of HuggingFaceTB/SmolLM2-360M on Hugging Face",
    ),
    Architecture(
        name="SmolLM2-1.7B",
        hidden=2048,
        layers=24,
        heads=32,
        kv_heads=32,
        head_dim=64,
        feed_forward=8192,
        vocabulary=49152,
        context_tokens=8192,
        rope_theta=130000.0,
        norm_epsilon=1e-5,
        tied=True,
        source="config.json of HuggingFaceTB/SmolLM2-1.7B on Hugging Face",
    ),
    Architecture(
        name="TinyLlama-1.1B",
        hidden=2048,
        layers=22,
        heads=32,
        kv_heads=4,
        head_dim=64,
        feed_forward=5632,
        vocabulary=32000,
        context_tokens=2048,
        rope_theta=10000.0,
        norm_epsilon=1e-5,
        tied=False,
        source="config.json of TinyLlama/TinyLlama-1.1B-Chat-v1.0 on Hugging Face",
    ),
    Architecture(
        name="Llama-3.2-1B",
        hidden=2048,
        layers=16,
        heads=32,
        kv_heads=8,
        head_dim=64,
        feed_forward=8192,
        vocabulary=128256,
        context_tokens=131072,
        rope_theta=500000.0,
        norm_epsilon=1e-5,
        tied=True,
        source="config.json of meta-llama/Llama-3.2-1B on Hugging Face",
    ),
    Architecture(
        name="Llama-3.2-3B",
        hidden=3072,
        layers=28,
        heads=24,
        kv_heads=8,
        head_dim=128,
        feed_forward=8192,
        vocabulary=128256,
        context_tokens=131072,
        rope_theta=500000.0,
        norm_epsilon=1e-5,
        tied=True,
        source="config.json of meta-llama/Llama-3.2-3B on Hugging Face",
    ),
    Architecture(
        name="Llama-3.1-8B",
        hidden=4096,
        layers=32,
        heads=32,
        kv_heads=8,
        head_dim=128,
        feed_forward=14336,
        vocabulary=128256,
        context_tokens=131072,
        rope_theta=500000.0,
        norm_epsilon=1e-5,
        tied=False,
        source="config.json of meta-llama/Llama-3.1-8B on Hugging Face",
    ),
    Architecture(
        name="Llama-3.1-70B",
        hidden=8192,
        layers=80,
        heads=64,
        kv_heads=8,
        head_dim=128,
        feed_forward=28672,
        vocabulary=128256,
        context_tokens=131072,
        rope_theta=500000.0,
        norm_epsilon=1e-5,
        tied=False,
        source="config.json of meta-llama/Llama-3.1-70B on Hugging Face",
    ),
    Architecture(
        name="Mistral-7B-v0.3",
        hidden=4096,
        layers=32,
        heads=32,
        kv_heads=8,
        head_dim=128,
        feed_forward=14336,
        vocabulary=32768,
        context_tokens=32768,
        rope_theta=1000000.0,
        norm_epsilon=1e-5,
        tied=False,
        source="config.json of mistralai/Mistral-7B-v0.3 on Hugging Face",
    ),
    Architecture(
        name="Tiny-1M",
        hidden=128,
        layers=2,
        heads=4,
        kv_heads=2,
        head_dim=32,
        feed_forward=256,
        vocabulary=4096,
        context_tokens=2048,
        rope_theta=10000.0,
        norm_epsilon=1e-5,
        tied=True,
        source="nobody's model: small enough to try the engine in a second",
    ),
)


def find_architecture(name: str) -> Architecture:
    """The catalogue's entry of that name, letter case ignored. Raises `InputError` with the names there are."""
    for architecture in CATALOGUE:
        if architecture.name.lower() == name.lower():
            return architecture
    known = ", ".join(architecture.name for architecture in CATALOGUE)
    raise InputError(f"no architecture called {name!r} in the catalogue; choose one of: {known}")

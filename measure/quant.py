"""Which tensors of a file are stored how: the mixtures that llama.cpp's quantiser makes."""

from enum import StrEnum

from measure.architectures import Architecture, Tensor
from measure.blocks import Storage, fitting


class Quant(StrEnum):
    """A file's format; norms and biases stay in 32-bit floats. All but Q4_K_M hold one format throughout, below 8 bits
    with the output projection in Q6_K."""

    F16 = "F16"
    Q8_0 = "Q8_0"
    Q6_K = "Q6_K"
    Q5_K = "Q5_K"
    Q4_K_M = "Q4_K_M"
    Q4_K = "Q4_K"
    Q4_0 = "Q4_0"


def storage_of(tensor: Tensor, architecture: Architecture, quant: Quant) -> Storage:
    """Q4_K_M keeps the output projection in Q6_K, and so the values and down-projections of half of the layers: the
    first and the last eighth and every third between. Fused projections get Q5_K, keys and values beside eight experts
    Q8_0, the values of 70B Q5_K. Rows that a format's blocks do not divide get a larger format.

    Source: `llama_tensor_get_type` in llama.cpp's quantiser. An 8B Llama so has 4.9 GB, as the published files do.
    """
    is_output = tensor.name == ("token_embd.weight" if architecture.tied else "output.weight")
    if quant in (Quant.F16, Quant.Q8_0):
        wanted = Storage(quant)
    elif is_output:
        wanted = Storage.Q6_K
    else:
        wanted = _medium(tensor.name, architecture) if quant is Quant.Q4_K_M else Storage(quant)
    return fitting(wanted, tensor.shape[-1])


def _medium(name: str, architecture: Architecture) -> Storage:
    if name == "token_embd.weight":
        return Storage.Q4_K
    layer, part = int(name.split(".")[1]), name.split(".")[2]
    has_eight_experts = architecture.experts == 8
    if has_eight_experts and part in ("attn_v", "attn_k"):
        return Storage.Q8_0
    if part == "attn_qkv":
        return Storage.Q5_K
    if part == "attn_output" and has_eight_experts:
        return Storage.Q5_K
    if part in ("attn_v", "ffn_down", "ffn_down_exps") and _is_important(layer, architecture.layers):
        return Storage.Q6_K
    if part == "attn_v" and architecture.layers == 80:
        return Storage.Q5_K
    return Storage.Q4_K


def _is_important(layer: int, layers: int) -> bool:
    eighth = layers // 8
    return layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2

"""Write a small Llama-shaped model with random weights and a real tokenizer for servers that load Hugging Face folders.

    python benchmarks/servers/random_hf_model.py DIRECTORY [--layers 4]

Needs `torch`, `transformers` and this repository on PYTHONPATH; downloads nothing. Speed and memory are those of the
shape; the text is noise.
"""

import argparse
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from measure.vocabulary import SPECIAL_TOKENS, build_vocabulary

VOCABULARY = 8192
CHAT_TEMPLATE = "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}assistant:"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--layers", type=int, default=4)
    options = parser.parse_args()
    vocabulary = build_vocabulary(VOCABULARY)
    ids = {token: number for number, token in enumerate(vocabulary.tokens)}
    tokenizer = Tokenizer(BPE(vocab=ids, merges=[tuple(merge.split(" ")) for merge in vocabulary.merges]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    begin, end, padding = SPECIAL_TOKENS
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=begin,
        eos_token=end,
        pad_token=padding,
        chat_template=CHAT_TEMPLATE,
        model_max_length=4096,
    ).save_pretrained(options.directory)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=256,
        intermediate_size=768,
        num_hidden_layers=options.layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        bos_token_id=ids[begin],
        eos_token_id=ids[end],
        pad_token_id=ids[padding],
    )
    LlamaForCausalLM(config).save_pretrained(options.directory)


if __name__ == "__main__":
    main()

"""The language model in the llama2.c format as a Hugging Face directory: weights, config and tokenizer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from story_model import Pieces, StoryModel

UNKNOWN, BEGIN, END = "<unk>", "<s>", "</s>"
SPACE = "▁"


def llama_directory(real: Path, folder: Path) -> Path:
    """`folder`, filled; nothing is written outside it."""
    from transformers import LlamaConfig, LlamaForCausalLM

    own = StoryModel(real / "lm" / "stories260K.bin", real / "lm" / "tok512.bin")
    block = own.layers[0]
    vocab, dim = own.embedding.weight.shape
    config = LlamaConfig(
        vocab_size=vocab, hidden_size=dim, intermediate_size=block.w1.out_features, num_hidden_layers=len(own.layers),
        num_attention_heads=block.heads, num_key_value_heads=block.kv_heads, max_position_embeddings=len(own.cos),
        rms_norm_eps=1e-5, rope_theta=10000.0, tie_word_embeddings=True, hidden_act="silu", bos_token_id=1,
        eos_token_id=2,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    model.load_state_dict(_renamed(own), strict=True)
    model.save_pretrained(folder)
    tokenizer(own.pieces, len(own.cos)).save_pretrained(folder)
    return folder


def _renamed(own: StoryModel) -> dict:
    """Queries and keys in the order of half rotation: of each head the even numbers first, then the odd ones."""
    said = own.state_dict()
    found = {"model.embed_tokens.weight": said["embedding.weight"], "lm_head.weight": said["embedding.weight"],
             "model.norm.weight": said["norm.weight"]}  # fmt: skip
    names = {
        "attention_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "wq": "self_attn.q_proj",
        "wk": "self_attn.k_proj", "wv": "self_attn.v_proj", "wo": "self_attn.o_proj", "w1": "mlp.gate_proj",
        "w3": "mlp.up_proj", "w2": "mlp.down_proj",
    }  # fmt: skip
    size = own.layers[0].size
    order = np.r_[0:size:2, 1:size:2]
    for i in range(len(own.layers)):
        for short, long in names.items():
            values = said[f"layers.{i}.{short}.weight"]
            if short in ("wq", "wk"):
                values = values.view(-1, size, values.shape[1])[:, order].reshape(values.shape)
            found[f"model.layers.{i}.{long}.weight"] = values.contiguous()
    return found


def tokenizer(pieces: Pieces, longest: int):
    """Byte-pair merges in the order of their scores, with single bytes for what is no piece."""
    from tokenizers import Tokenizer, decoders, normalizers, processors
    from tokenizers.models import BPE
    from transformers import PreTrainedTokenizerFast

    first = [UNKNOWN, BEGIN, END]
    texts = [*first, *(t.replace(" ", SPACE) for t in pieces.text[3:])]
    number = {t: i for i, t in reversed(list(enumerate(texts)))}
    merges = []
    for text, at in number.items():
        merges += [
            (-pieces.score[at], text[:cut], text[cut:])
            for cut in range(1, len(text))
            if at >= 259 and text[:cut] in number and text[cut:] in number
        ]
    merges.sort(key=lambda m: m[0])
    made = Tokenizer(
        BPE(number, [m[1:] for m in merges], unk_token=UNKNOWN, byte_fallback=True, fuse_unk=True)
    )
    made.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)])
    made.post_processor = processors.TemplateProcessing(single=f"{BEGIN} $A", special_tokens=[(BEGIN, 1)])
    made.decoder = decoders.Sequence([decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()])
    return PreTrainedTokenizerFast(
        tokenizer_object=made, unk_token=UNKNOWN, bos_token=BEGIN, eos_token=END, model_max_length=longest
    )

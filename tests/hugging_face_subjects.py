"""Tiny random Hugging Face directories to open in tests."""

import json

import numpy as np
import torch
from PIL import Image

SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
VISION = SMALL | {"image_size": 16, "patch_size": 8}
WORDS = ["[PAD]", "[UNK]", "a", "b", "c", "d", "[MASK]", "[EOS]", "[BOS]"]


def add_tokenizer(folder, **special):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = special or {"pad_token": "[PAD]", "eos_token": "[EOS]"}
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", **special)
    fast.save_pretrained(folder)


def text_model(folder, kind: str = "gpt2", **special):
    import transformers as t

    torch.manual_seed(0)
    if kind == "gpt2":
        config = t.GPT2Config(vocab_size=16, n_positions=8, n_embd=16, n_layer=2, n_head=2)
        model = t.GPT2LMHeadModel(config)
    elif kind == "bert":
        model = t.BertForSequenceClassification(t.BertConfig(**SMALL, vocab_size=16, num_labels=3))
    else:
        model = t.BertForMaskedLM(t.BertConfig(**SMALL, vocab_size=16))
    model.save_pretrained(folder)
    add_tokenizer(folder, **special)
    return model.eval()


def image_model(folder, channels: int = 3):
    import transformers as t

    torch.manual_seed(0)
    config = t.ViTConfig(**VISION, num_channels=channels, id2label={0: "cat", 1: "dog", 2: "eel"})
    model = t.ViTForImageClassification(config)
    model.save_pretrained(folder)
    settings = {"image_mean": [0.5] * channels, "image_std": [0.5] * channels}
    t.ViTImageProcessor(size={"height": 16, "width": 16}, **settings).save_pretrained(folder)
    return model.eval()


def edit(path, **changes):
    """Change entries of a JSON file; None removes one."""
    value = json.loads(path.read_text())
    value = {k: v for k, v in (value | changes).items() if v is not None}
    path.write_text(json.dumps(value))


def picture(seed: int, *shape):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, shape, dtype=np.uint8))

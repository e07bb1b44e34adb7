"""Tiny randomly initialised networks of many families, each with what prepares its inputs.

Every factory takes the transformers module and returns (model, processor), both with `save_pretrained`.
"""

from __future__ import annotations

SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
WORDS = ["the", "cat", "sat", "on", "mat", "dog", "ran"]
TEXTS = ["the cat sat", "the dog ran on the mat", "cat", "the mat the mat", "dog sat on cat"]


def images(t, size, model):
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    return model, ViTImageProcessorPil(size={"height": size, "width": size})


def texts(t, model, template=None):
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    words = Tokenizer(models.WordLevel({w: i for i, w in enumerate(special + WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    if template:
        words.post_processor = processors.TemplateProcessing(
            single=template, special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
    fast = t.PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]")
    return model, fast


def audio(t, model):
    return model, t.Wav2Vec2FeatureExtractor(return_attention_mask=True)


def vit(t):
    return images(
        t, 16, t.ViTForImageClassification(t.ViTConfig(**SMALL, image_size=16, patch_size=4, num_labels=3))
    )


def dinov2(t):
    small = {k: v for k, v in SMALL.items() if k != "intermediate_size"}
    return images(t, 28, t.Dinov2Model(t.Dinov2Config(**small, image_size=28, patch_size=7)))


def registers(t):
    small = {k: v for k, v in SMALL.items() if k != "intermediate_size"}
    config = t.Dinov2WithRegistersConfig(**small, image_size=28, patch_size=7, num_register_tokens=4)
    return images(t, 28, t.Dinov2WithRegistersModel(config))


def clip(t):
    return images(t, 16, t.CLIPVisionModel(t.CLIPVisionConfig(**SMALL, image_size=16, patch_size=4)))


def resnet(t):
    config = t.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 2], layer_type="basic", num_labels=3
    )
    return images(t, 32, t.ResNetForImageClassification(config))


def convnext(t):
    config = t.ConvNextConfig(hidden_sizes=[6, 12], depths=[1, 1], num_stages=2, image_size=32)
    return images(t, 32, t.ConvNextModel(config))


def swin(t):
    config = t.SwinConfig(
        embed_dim=8, depths=[1, 1], num_heads=[2, 2], image_size=32, patch_size=4, window_size=4
    )
    return images(t, 32, t.SwinModel(config))


def gpt2(t):
    config = t.GPT2Config(
        n_embd=16, n_layer=2, n_head=2, vocab_size=11, n_positions=32, bos_token_id=2, eos_token_id=3
    )
    return texts(t, t.GPT2LMHeadModel(config))


def llama(t):
    return texts(t, t.LlamaForCausalLM(t.LlamaConfig(**SMALL, vocab_size=11, bos_token_id=2, eos_token_id=3)))


def bert(t):
    model = t.BertForSequenceClassification(t.BertConfig(**SMALL, vocab_size=11, num_labels=3))
    return texts(t, model, "[CLS] $A [SEP]")


def wav2vec2(t):
    config = t.Wav2Vec2Config(
        **SMALL, conv_dim=[8] * 3, conv_stride=[5, 4, 4], conv_kernel=[10, 4, 4], num_feat_extract_layers=3,
        num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2, feat_extract_norm="layer", vocab_size=8,
    )  # fmt: skip
    return audio(t, t.Wav2Vec2Model(config))


# family: (factory, a block, tokens of it, units, grid, leading, number of blocks)
FAMILIES = {
    "vit": (vit, "vit.layers.1", 17, 16, (4, 4), 1, 2),
    "dinov2": (dinov2, "encoder.layer.1", 17, 16, (4, 4), 1, 2),
    "registers": (registers, "encoder.layer.1", 21, 16, (4, 4), 5, 2),
    "clip": (clip, "encoder.layers.1", 17, 16, (4, 4), 1, 2),
    "resnet": (resnet, "resnet.encoder.stages.1.layers.1", 16, 16, (4, 4), 0, 3),
    "convnext": (convnext, "encoder.stages.0.layers.0", 64, 6, (8, 8), 0, 2),
    "swin": (swin, "encoder.layers.0.blocks.0", 64, 8, (8, 8), 0, 2),
    "gpt2": (gpt2, "transformer.h.1", 3, 16, None, 0, 2),
    "llama": (llama, "model.layers.1", 3, 16, None, 0, 2),
    "bert": (bert, "bert.encoder.layer.1", 5, 16, None, 0, 2),
    "wav2vec2": (wav2vec2, "encoder.layers.1", 19, 16, None, 0, None),
}

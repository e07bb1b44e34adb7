"""A network ready to run: prepared inputs in, logits and per-sample loss out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from analysis.errors import InputError

# what a forward pass raises on inputs that do not fit it
FORWARD_FAILURES = (
    RuntimeError, ValueError, TypeError, LookupError, AttributeError, AssertionError, ArithmeticError,
)  # fmt: skip


@dataclass(frozen=True)
class Outputs:
    """What one forward pass of a batch of b samples gave, beside the taps. Tensors on the CPU, or None.

    logits : (b, c), (b, t, v) for language models, or None where the network has no head.
    loss : (b,) float, given labels (for language models always: the mean over the tokens of a sample).
    predicted : (b,) int, the class, or for language models the next token after the text; None for regression.
    confidence : (b,) float in [0, 1], the softmax probability of `predicted`.
    token_loss : (b, t) float for language models: -ln p of the token at this position given those before it;
        NaN at the first position and at padding.
    token_predicted : (b, t) int for language models: the guess of the token *after* this position.
    """

    logits: object = None
    loss: object = None
    predicted: object = None
    confidence: object = None
    token_loss: object = None
    token_predicted: object = None


@dataclass
class LoadedModel:
    """A `torch.nn.Module` in eval mode with its own way to prepare items.

    modality : "image", "text", "audio", "table", "array" or None when nothing tells.
    class_names : names of the output classes, empty when unknown.
    notes : what was decided while loading, in words, to be shown to the person.
    sampling_rate : Hz that an audio network expects, or None.
    text_inputs : for texts, an object with `limit` (the most tokens of a text) and `left_out` (tokens beyond it, of
    each text of the last prepared batch); None where nothing is known to be cut.
    causal : a language model that predicts the next token; `masked`: one that fills gaps (no next-token loss).
    classifies : whether outputs are classes; where they are not, they are numbers (`output_name`, `output_unit`).
    input_names : of the inputs of a table, in order; empty where nothing tells.
    """

    module: object
    modality: str | None
    preparer: Callable[[list], object]
    class_names: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)
    token_texts: Callable[[list], list[list[str]]] | None = None
    own_loss: Callable | None = None
    call: Callable | None = None
    decode: Callable[[int], str] | None = None
    sampling_rate: int | None = None
    text_inputs: object = None
    causal: bool = False
    masked: bool = False
    classifies: bool = True
    input_names: tuple[str, ...] = ()
    output_name: str = ""
    output_unit: str = ""

    def prepare(self, items: Sequence):
        """Raw items of a data source to a tensor, or a dict of tensors with "attention_mask" (b, t) for text.

        Raises InputError for an empty batch or items that the network cannot take.
        """
        items = list(items)
        if not items:
            raise InputError("there is no item to prepare", "at least one sample", "Check the data source")
        return self.preparer(items)

    def tokens(self, items: Sequence) -> list[list[str]] | None:
        """The text of every token, as `prepare` cuts it and without padding; None for other data."""
        return None if self.token_texts is None else self.token_texts(list(items))

    def token_mask(self, inputs):
        """(b, t) bool, False at padding; None where the inputs carry no mask."""
        mask = inputs.get("attention_mask") if isinstance(inputs, Mapping) else None
        return None if mask is None or mask.ndim != 2 else mask.bool()

    def forward(self, inputs, labels=None) -> Outputs:
        """Run the network without gradients.

        Parameters
        ----------
        inputs : Tensor or dict
            From `prepare`.
        labels : sequence of int, shape (b,), optional
            Class per sample; -1 where unknown (the loss is NaN there).

        Raises InputError with the network's own words where it cannot take these inputs.
        """
        import torch

        with torch.no_grad():
            try:
                raw = self.call(self.module, inputs) if self.call else self.run(inputs)
            except FORWARD_FAILURES as error:
                said = (str(error).strip().splitlines() or [""])[0][:200]
                raise InputError(
                    f"{type(self.module).__name__} failed on inputs of {shapes_of(inputs)} "
                    f"({type(error).__name__}: {said})",
                    "inputs that the network can take",
                    "Check the kind and size of the data, or give the module a prepare(items) method",
                ) from error
            return self.read(raw, inputs, labels)

    def refuse_numbers(self, name: str) -> None:
        """Raises InputError where the outputs are no classes: a softmax over them would say that nothing changes."""
        if not self.classifies:
            raise InputError(
                f"the network of {name} gives {self.output_name or 'a vector'}, not classes",
                "classes, or a language model",
                "Attribution explains its numbers; classes are named in its description",
            )

    def run(self, inputs):
        """The module's own raw output."""
        return self.module(**inputs) if isinstance(inputs, Mapping) else self.module(inputs)

    def read(self, raw, inputs, labels=None) -> Outputs:
        """Logits, loss and prediction from a raw output: a tensor, tuple, mapping or dataclass."""
        from analysis.sources.reading_outputs import read_classes, read_language, read_own_loss

        logits = logits_of(raw)
        if self.own_loss is not None and labels is not None:
            return read_own_loss(self.own_loss, raw, logits, labels)
        if logits is None or self.masked or not self.classifies:
            return Outputs(logits=logits)
        if self.causal:
            return read_language(logits, inputs)
        return read_classes(logits, labels)


def shapes_of(inputs) -> str:
    """The shapes of prepared inputs in words."""
    if isinstance(inputs, Mapping):
        return ", ".join(f"{k} {tuple(v.shape)}" for k, v in inputs.items() if hasattr(v, "shape"))
    return f"shape {tuple(inputs.shape)}" if hasattr(inputs, "shape") else type(inputs).__name__


def logits_of(raw):
    """The tensor that holds a network's answer, or None where its output is only hidden states."""
    import torch

    if isinstance(raw, torch.Tensor):
        return raw if raw.ndim >= 2 else (raw[:, None] if raw.ndim == 1 else None)
    if isinstance(raw, Mapping) or hasattr(raw, "__dataclass_fields__"):
        found = raw.get("logits") if isinstance(raw, Mapping) else getattr(raw, "logits", None)
        return found if isinstance(found, torch.Tensor) else None
    if isinstance(raw, (tuple, list)) and raw:
        return logits_of(raw[0])
    return None

"""Which tokens of a batch are padding, at every length that the network turns its input into."""

from __future__ import annotations


class Padding:
    """Masks of one batch.

    Parameters
    ----------
    given : torch.Tensor of bool, (batch, positions)
        The input's own mask; False is padding (on the right or on the left).
    shrinks : bool
        The network shortens its input (audio): a tap of another length gets the mask scaled to it. Otherwise a
        tap of another length has no padding that we know of.
    exact : callable (length, mask) -> mask, optional
        The network's own rule for the scaled mask, as speech networks of transformers have it.
    """

    def __init__(self, given, *, shrinks: bool = False, exact=None) -> None:
        self.given, self.shrinks, self.exact = given, shrinks, exact
        self._cache: dict = {}

    @staticmethod
    def of(loaded, inputs) -> Padding | None:
        """The padding of prepared inputs; None where they carry no mask."""
        given = loaded.token_mask(inputs)
        if given is None:
            return None
        exact = getattr(loaded.module, "_get_feature_vector_attention_mask", None)
        return Padding(given, shrinks=loaded.modality == "audio", exact=exact)

    def mask(self, batch: int, length: int):
        """(batch, length) bool, or None where there is no padding at this length."""
        if len(self.given) != batch:
            return None
        if length not in self._cache:
            self._cache[length] = self._at(length)
        return self._cache[length]

    def _at(self, length: int):
        import torch

        if length == self.given.shape[1]:
            return self.given
        if not self.shrinks or length < 2:
            return None
        whole, valid = self.given.shape[1], self.given.sum(1)
        if self.exact is not None:
            mask = self.exact(length, self.given.long()).bool()
            if self._fits(mask, length):
                return mask
        kept = (valid * length + whole - 1) // whole
        return torch.arange(length, device=kept.device)[None] < kept[:, None]

    def _fits(self, mask, length: int) -> bool:
        """Whether the network's rule is meant for this length: it is exact at its last convolution only."""
        full = self.given.sum(1) == self.given.shape[1]
        return mask.shape[1] == length and bool(mask[full].all())

"""From frames of features to vectors that a language model reads as if they were words."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class TemporalAdaptor(nn.Module):
    """Projects frames, shortens them with strided convolutions, and maps them to a model's width.

    Norm → linear → for each stride a convolution of width 5 and GELU → norm → two linear layers → the scale of word
    embeddings. Padding is zeroed before each convolution, as its own edges are, so that a clip gives the same vectors
    whatever it is batched with.

    Args:
        feature_size: numbers of a frame.
        model_size: width of the language model.
        hidden: width of the convolutions.
        strides: of the convolutions; a clip of L frames becomes ceil(L / their product) vectors.
        scale: root mean square that vectors start with.
        dropout: probability of zeroing a value before the last layer.
    """

    def __init__(
        self,
        feature_size: int,
        model_size: int,
        hidden: int = 768,
        strides: tuple[int, ...] = (2, 2),
        scale: float = 0.02,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.strides = strides
        self.norm = nn.LayerNorm(feature_size)
        self.project = nn.Linear(feature_size, hidden)
        self.convolutions = nn.ModuleList(nn.Conv1d(hidden, hidden, 5, stride, padding=2) for stride in strides)
        self.middle = nn.LayerNorm(hidden)
        self.widen = nn.Linear(hidden, model_size)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(model_size, model_size)
        self.scale = nn.Parameter(torch.tensor(scale))

    def forward(self, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return a vector for each few frames.

        Args:
            values: ``[B, F, C]`` frames.
            mask: ``[B, F]`` bool, False on padding.

        Returns:
            ``[B, M, D]`` vectors and their mask ``[B, M]``.
        """
        x = self.project(self.norm(values))
        for convolution, stride in zip(self.convolutions, self.strides, strict=True):
            x = F.gelu(convolution((x * mask[..., None]).transpose(1, 2))).transpose(1, 2)
            mask = mask[:, ::stride]
        x = self.out(self.dropout(F.gelu(self.widen(self.middle(x)))))
        return F.rms_norm(x, x.shape[-1:]) * self.scale, mask

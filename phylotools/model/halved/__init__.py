"""The same network at half the products, for CPUs: see `layout` for the formulas.

Equivariance ties one half of every weight to the other, and the dense network multiplies with both.
Here the hidden channels are kept as half sums and half differences of a channel and its mirror
image, in which an equivariant weight is two blocks of half the size. All of a pass is compiled:
products, norms and GELU work on one window while it lies in the cache.

In training, of the shapes that `suits`, `layout` says where everything lies, `weights` turns stored
weights into blocks and gradients back, `passes` are a window forward and backward, and `function`
is what torch sees. In inference, of any shape and norm, `stages` has the weights, `frozen_passes`
the windows forward, and `frozen` all of a batch. `products` and `activation` are the arithmetic of
both, which give the same bits. `ByteNet` with dense products stays the definition that tests hold
this to.
"""

from phylotools.model.halved.frozen import FrozenHalves
from phylotools.model.halved.function import halved_theta, suits

__all__ = ["FrozenHalves", "halved_theta", "suits"]

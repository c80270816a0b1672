"""IDGI, important direction gradient integration (Yang, Wang and Bilgic 2023), as a member of the family."""

from __future__ import annotations

from diffig.credit.proportional import Proportional


class IDGI(Proportional):
    """Shares by the squared gradient at the start of each piece; the step plays no part.

    A feature that does not differ from the baseline may get a share. The scores at the cuts come with the gradients, so
    it costs no forward image more than a left sum.
    """

    name = "idgi"

    def __init__(self) -> None:
        super().__init__(p=2.0, q=0.0, where="left")

    def __str__(self) -> str:
        return self.name

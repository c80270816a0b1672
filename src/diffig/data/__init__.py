"""Images and labels: one file per family of formats, one contract (see `module.py`) for all of them.

Import a datamodule from its own file, for instance `from diffig.data.digits import Digits`; this package itself
imports only what is light.
"""

from diffig.data.batch import Batch, collate

__all__ = ["Batch", "collate"]

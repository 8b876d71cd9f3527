"""Index, name, SNOMED CT code and colour of every structure, and what may be asked for."""

from prosect.vocabulary.structure import Code, Structure
from prosect.vocabulary.tables import NAMES, load
from prosect.vocabulary.vocabulary import Resolution, Vocabulary

__all__ = ["NAMES", "Code", "Resolution", "Structure", "Vocabulary", "load"]

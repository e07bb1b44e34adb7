"""What the Dictionaries page asks about a dictionary, and which method answers each question."""

from __future__ import annotations

from analysis import registry

FAMILY = "dictionaries"
# method by question, the most asked for first; the others are asked by their titles
WORDED = {
    "Is it any good, on every axis?": "dictionary_court",
    "How much does it rebuild, and with how few features?": "dictionary_report",
    "Does the network still work with what it rebuilds?": "loss_recovered",
    "Can I change the answer through its features?": "edit_success",
    "What is each feature for, in words?": "feature_names",
    "Is there a feature for brackets, indentation, a word?": "kind_features",
    "Is there a feature for each class?": "concept_f1",
    "Do these concepts tell the classes?": "concept_bottleneck",
    "Which attributes are hidden or split?": "attribute_coverage",
    "Which features fail because another one took over?": "absorption",
    "Are features atoms or made of others?": "composition",
    "Which quiet features does the loss hang on?": "gradient_plane",
    "Which features read, and which can I steer by?": "read_write",
    "How complex are features, and do they matter?": "feature_complexity",
    "Is what is called common really common?": "salient_leaks",
    "How many features do task and memorising need?": "keep_first",
    "Do two dictionaries arrange features alike?": "matched_dictionaries",
    "Which features fire together, which never?": "co_activation_map",
    "How are features shared out over rows?": "allocation",
    "Why this class and not that one (prototypes)?": "prototype_ledger",
    "What looks like what (prototypes)?": "prototype_pairs",
    "Which prototypes are broken?": "prototype_hygiene",
    "Does it look at colour, light or texture?": "prototype_sensitivity",
    "What do the atoms look like as pictures?": "atom_mosaic",
    "When and where is each atom used?": "atom_usage",
    "Is it the dictionary or its encoder?": "encoder_comparison",
    "What does each feature do, and which is most like it?": "feature_table",
    "How much would one entry out of many explain?": "dictionary_retrieval",
    "Where does the dictionary fail, token by token?": "unexplained_map",
}


def asks() -> dict[str, str]:
    """Method by question, of every method of the family that is installed."""
    installed = {m.id: m.title for m in registry.families().get(FAMILY, ())}
    worded = {question: id for question, id in WORDED.items() if id in installed}
    rest = {title: id for id, title in installed.items() if id not in worded.values()}
    return worded | rest

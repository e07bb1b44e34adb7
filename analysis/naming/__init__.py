"""Names for features from a language model that the user has configured; without one nothing is sent anywhere.

settings.py       which model, from the environment of this program
http_model.py     a server that speaks chat-completions JSON; program_model.py a program on this machine
asking.py         one question, one answer, stopped on request
evidence.py       which examples of a feature are told
row_words.py      an example in words: text with active tokens marked, or labels and columns
prompts.py        the questions word for word, and how an answer is read
preview.py        what would be sent
detection.py      how well a name tells held-out examples apart
proposals.py      what was answered, kept in the workspace
proposing.py      all of it for some features
"""

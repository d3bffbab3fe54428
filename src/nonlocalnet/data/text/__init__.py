"""Text: from files and lists of them to the numbers of bytes or words.

| file | what it is |
|---|---|
| `text_list` | labelled texts: a csv of `text,label`, or class folders of text files |
| `tagged` | sentences of `token TAG` lines |
| `coding` | bytes, or words of a vocabulary, as numbers |
| `coded` | the data sets |
"""

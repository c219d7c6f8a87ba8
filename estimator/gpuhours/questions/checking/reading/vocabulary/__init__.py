"""The tables of words that the reader knows: units, rules for quantities, words for runs and for side work; editable, one idea each."""

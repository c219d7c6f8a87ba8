"""Turns text into claims, one folder a step; each asks only the folders above it in this list.

``vocabulary``  tables of words: units, the words of each quantity, words for runs and for what is no run
``formats``     files, pages and marks: any format becomes paragraphs, headings, lists and tables
``figures``     words and numbers: a number with its unit, what it is per and how exact it is
``naming``      names of models and runs
``quantities``  which quantity a figure states: from its unit, its neighbours, the nearest decisive words
``sentences``   prose read into figures with their quantities
``tables``      tables and invoices read into figures with their quantities
``ownership``   whose a figure is: a run of the authors, another model, something else, or nobody's
``runs``        the runs of a text, and the figures of each
``claims``      the figures of a run reduced to one claim a quantity
``text``        the whole way, from the text of a file to its runs with their claims
"""

"""Papers as data: what to compute for each table and figure, what was published, which sentences to test.

``reading`` reads the folders, ``schema`` says what is in them, ``published`` finds the numbers of a board.
"""

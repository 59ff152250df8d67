"""The report: what ``bench/report/`` shows is made here from the JSON that a run leaves behind, and from nothing else.

The nouns, in the order in which data goes through them:

- *Results* (``bench.results``): what was measured, run by run.
- *Outcome*: the same by measure, peer and number of Services, as medians with their spread, and as ratios.
- *Picture*: one SVG. A *panel* is one pair of axes in it.
- *Table*: rows of text; the page and the Markdown show the same ones.
- *Chapter*: what belongs together on the page: words, pictures, tables.

The same JSON gives the same bytes: no clock, no random numbers, nothing about the machine that draws.
"""

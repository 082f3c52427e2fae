"""The window: a node's chain, mempool and peers as web pages (-web), made by the node itself.

site.py is the frame (headers, guards, errors, templates, files), words.py says numbers, hashes and times,
blocks.py, transactions.py, histories.py and utxo.py gather what a page shows, pictures.py draws, live.py
tells what happens, server.py has the pages. Nothing here changes the node; imported only with -web.
"""

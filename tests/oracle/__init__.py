"""Random and hostile input for the consensus rules, judged by us and by Bitcoin Core.

tape.py: randomness that is recorded, so that what it made can be made smaller. spends.py (with signer.py and
scripts.py): inputs that spend outputs. trees.py: trees of blocks. engine.py: Core in a child process.
judge.py compares verdicts. tests run some of it; scripts/oracle runs any amount.
"""

"""`check` in a process of its own, with the variables of a worker: the arithmetic is that of training."""

from harness.pool.process import answer
from harness.selfcheck.check import check

if __name__ == "__main__":
    answer(check)

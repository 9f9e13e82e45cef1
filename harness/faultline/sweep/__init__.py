"""The allocation-failure sweep: fail the n-th kalloc() of a workload, for every n.

protocol.py reads what the probe says, groups.py knows which n fail the same allocation and
which of them may be left out, causes.py turns failures into findings, evidence.py reads the
machine's memory, judge.py decides what came of each n, and run.py drives the machines of
machines.py. rules.py has the rules.
"""

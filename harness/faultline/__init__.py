"""Faultline: a grader and fault-injection harness for RISC-V teaching kernels."""

VERSION = "0.1"

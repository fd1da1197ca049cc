"""Arithmetic of stacks of layers: sizes, parameters, multiply-adds, receptive fields, overlap of kernels.

Nothing is run and nothing is estimated: a layer says which samples of its input a sample of its output is made of, one
axis at a time (every layer here treats its axes alike), and the rest is counting. The rules of size are those of torch,
which are those of Dumoulin and Visin's guide to convolution arithmetic (2016).
"""

from sr_datasets.arithmetic.layers import Layer
from sr_datasets.arithmetic.notation import espcn_stack, parse_stack
from sr_datasets.arithmetic.stack import Field, Overlap, Stack, Stage, overlap

__all__ = ["Field", "Layer", "Overlap", "Stack", "Stage", "espcn_stack", "overlap", "parse_stack"]

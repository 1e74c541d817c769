"""For mypy: what an attribute is that torch's modules have and torch does not know.

torch types every attribute that it finds only at run time as `Tensor | Module`. Here it is a buffer, thus a tensor, unless
it is one of those that this package asks of any network (lesson 13) or of any loss of phase 1.
"""
from collections.abc import Callable
from functools import partial
from pathlib import Path

from mypy.nodes import ARG_POS
from mypy.plugin import AttributeContext, Plugin
from mypy.types import AnyType, CallableType, Instance, NoneType, TupleType, Type, TypeOfAny, UnionType, get_proper_type

PACKAGE = "twostage_kd"
MODULE = "torch.nn.modules.module.Module"
CLASSES = {
    "classifier": "torch.nn.Linear",
    "stages": "torch.nn.Sequential",
    "stem": "torch.nn.Module",
    "student": "torch.nn.Module",   # head of a loss
    "teacher": "torch.nn.Module",
}


def attribute(name: str, context: AttributeContext) -> Type:
    """The type of one attribute; torch's own answer where torch knows it, and in other packages."""
    known = get_proper_type(context.default_attr_type)
    if not isinstance(known, UnionType) or PACKAGE not in Path(context.api.path).parts:
        return known

    def named(path: str, *parts: Type) -> Instance:
        return context.api.named_generic_type(path, list(parts))

    def several(*parts: Type) -> Type:
        return TupleType(list(parts), named("builtins.tuple", AnyType(TypeOfAny.special_form)))

    tensor, whole = named("torch.Tensor"), named("builtins.int")
    functions = {
        "features": ([tensor], several(tensor, tensor)),   # images -> f_pen, f_last
        "fill": ([tensor, tensor], NoneType()),            # both networks' features ->
        "update": ([], NoneType()),
    }
    if name == "dims":   # C1, C2
        return several(whole, whole)
    if name in functions:
        arguments, result = functions[name]
        count = len(arguments)
        return CallableType(arguments, [ARG_POS] * count, [None] * count, result, named("builtins.function"))
    return named(CLASSES.get(name, "torch.Tensor"))


class Attributes(Plugin):
    """Answers for attributes that mypy finds by torch's `Module.__getattr__`."""

    def get_attribute_hook(self, fullname: str) -> Callable[[AttributeContext], Type] | None:
        owner, _, name = fullname.rpartition(".")
        return partial(attribute, name) if owner == MODULE else None


def plugin(version: str) -> type[Plugin]:
    """What mypy asks for."""
    return Attributes

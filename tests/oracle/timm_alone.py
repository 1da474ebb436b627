"""timm without torchvision: timm imports it for its data transforms, which no test here uses.
Where it is missing, a module whose every name is an empty class stands in for it."""

import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types


class EmptyClass(type):
    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return EmptyClass(name, (), {})


class StandIn(types.ModuleType):
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return EmptyClass(name, (), {})


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, fullname, path=None, target=None):
        if fullname.partition(".")[0] == "torchvision":
            return importlib.machinery.ModuleSpec(fullname, self, is_package=True)
        return None

    def create_module(self, spec):
        return StandIn(spec.name)

    def exec_module(self, module):
        pass


if importlib.util.find_spec("torchvision") is None:
    sys.meta_path.append(Finder())

import timm  # noqa: E402


def resnet18():
    return timm.create_model("resnet18", in_chans=1, num_classes=10)

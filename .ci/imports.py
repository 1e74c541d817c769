"""Import every module of twostage_kd, as an installation without the dev extra must be able to."""
import importlib
import pkgutil
import sys

import twostage_kd

DEV_ONLY = {"nbdev", "fastcore", "execnb", "statsmodels", "hypothesis"}

names = [m.name for m in pkgutil.walk_packages(twostage_kd.__path__, "twostage_kd.") if "._" not in m.name]
for name in names:
    importlib.import_module(name)
if not names:
    sys.exit("twostage_kd has no modules: run nbdev_export first.")
if DEV_ONLY & set(sys.modules):
    sys.exit(f"Importing twostage_kd loads {sorted(DEV_ONLY & set(sys.modules))}, which only the dev extra installs.")
print(f"{len(names)} modules import without the dev extra: {', '.join(n.split('.')[-1] for n in names)}")

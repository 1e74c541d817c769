"""The package's metadata, read from settings.ini."""
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.sdist import sdist

HERE = Path(__file__).parent
config = ConfigParser()
config.read(HERE / "settings.ini", encoding="utf-8")
cfg = config["DEFAULT"]


class SourceArchive(sdist):
    """A source archive that carries settings.ini, without which this file cannot run."""

    def make_distribution(self):
        self.filelist.append("settings.ini")
        super().make_distribution()


setup(
    name=cfg["lib_name"], version=cfg["version"], description=cfg["description"], author=cfg["author"],
    keywords=cfg["keywords"].split(), license="Apache-2.0", license_files=["LICENSE"],
    long_description=(HERE / "README.md").read_text(encoding="utf-8") if (HERE / "README.md").exists() else "",
    long_description_content_type="text/markdown",
    packages=find_packages(include=["twostage_kd", "twostage_kd.*"]),
    package_data={"twostage_kd": ["py.typed", "results/**/*", "app/*.html", "app/*.css"]},
    python_requires=f">={cfg['min_python']}",
    install_requires=cfg["requirements"].split(),
    extras_require={"dev": cfg["dev_requirements"].split(), "site": cfg["site_requirements"].split(),
                    "ray": cfg["ray_requirements"].split()},
    entry_points={"console_scripts": cfg["console_scripts"].split()},
    cmdclass={"sdist": SourceArchive}, zip_safe=False,
)

"""Image files in a folder: each real file once, whatever links lead to it."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import NamedTuple

from mgm_jax.errors import InputError
from mgm_jax.images.decode.formats import HIDDEN, image_suffixes, is_hidden, why_passed_over
from mgm_jax.images.decode.limits import Limits
from mgm_jax.images.decode.regular_file import kind_of, read_regular
from mgm_jax.images.image_source import ImageSource
from mgm_jax.images.sources.files.listing import FileListing, PassedOverFiles, source_of_files
from mgm_jax.images.sources.files.names import visible
from mgm_jax.images.sources.options import SourceOptions


def folder_source(folder: Path, options: SourceOptions) -> ImageSource:
    """Source of the image files in a folder.

    Each folder inside is a class, with all image files at any depth within. A folder that holds
    images and no folders is one class, ``all``; one that holds nothing but a folder is passed
    through; folders called like splits are splits. The id of an image is its path within the
    folder; images come in the order of their ids.

    Links are followed, and each real file is read once, under its own name where that lies in the
    folder. Hidden files, files that are no images by their suffix, pipes, devices, links in a
    circle and second names are passed over and counted in ``passed_over``.

    Args:
        folder: where the images are.
        options: a split is the folder of that name or meaning.

    Raises:
        InputError: no such folder, one that cannot be listed, no images in it, or images beside
            the folders of classes.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder of images.")
    walk = _Walk(folder, options.limits)
    paths = sorted(walk.files)
    listing = FileListing(
        where=visible(str(folder)),
        paths=paths,
        read=lambda i: read_regular(
            folder / paths[i], name=visible(paths[i]), limits=options.limits
        ),
        passed_over=walk.passed_over,
    )
    return source_of_files(listing, options.called(visible(folder.resolve().name)))


_SECOND_LINK = "links to files that are read under another name"


class _Link(NamedTuple):
    is_file: bool
    path: str
    real: str


class _Walk:
    """All image files below a folder: those that lie there first, then those that links lead to."""

    def __init__(self, root: Path, limits: Limits) -> None:
        self.files: list[str] = []
        self.passed_over = PassedOverFiles()
        self._root = root
        self._limits = limits
        self._real_root = os.path.realpath(root)
        # Real place of every folder that was entered, and its path in the set.
        self._folders: dict[str, str] = {}
        # Real place of every file that a link leads to, and its path in the set.
        self._linked: dict[str, str] = {}
        # Device and number of files that have several names, and their path in the set.
        self._several_names: dict[tuple[int, int], str] = {}
        self._links: list[_Link] = []
        self._enter("", self._real_root)
        while self._links:
            # A link may lead to further ones. Folders first: the files in them have own names.
            links, self._links = sorted(self._links), []
            for link in links:
                self._follow(link)

    def _enter(self, path: str, real: str) -> None:
        """List a folder and all within it."""
        stack = [(path, real)]
        while stack:
            path, real = stack.pop()
            if real in self._folders:
                reason = "a second name of a folder that is read under its first"
                self.passed_over.add(path, f"{reason}, {visible(self._folders[real])!r}")
                continue
            self._folders[real] = path or "."
            try:
                with os.scandir(self._root / path) as entries:
                    listed = sorted(entries, key=lambda entry: entry.name)
            except OSError as error:
                raise InputError(
                    f"{visible(str(self._root / path))} cannot be listed: "
                    f"{error.strerror or error}. Make it readable, or move it out of the set."
                ) from error
            inside = []
            for entry in listed:
                inner = f"{path}/{entry.name}" if path else entry.name
                if entry.is_symlink():
                    real_inner = os.path.realpath(self._root / inner)
                    self._links.append(_Link(not os.path.isdir(real_inner), inner, real_inner))
                elif not entry.is_dir(follow_symlinks=False):
                    own = os.path.join(real, entry.name)
                    self._file(inner, own, entry.stat(follow_symlinks=False))
                elif is_hidden(entry.name):
                    self.passed_over.add(inner, HIDDEN)
                else:
                    inside.append((inner, os.path.join(real, entry.name)))
            # The first of several names is the first in the order of names.
            stack.extend(reversed(inside))

    def _file(self, path: str, real: str, facts: os.stat_result) -> None:
        reason = why_passed_over(path)
        if reason is None and self._linked.get(real, path) != path:
            reason = _SECOND_LINK
        if reason is None and (kind := kind_of(facts.st_mode)):
            reason = f"{kind}, not opened"
        if reason is None and facts.st_nlink > 1:
            number = facts.st_dev, facts.st_ino
            first = self._several_names.setdefault(number, path)
            if first != path:
                reason = "second names (hard links) of files that are read under their first"
        if reason is not None:
            self.passed_over.add(path, reason)
            return
        self.files.append(path)
        # The walk itself must not fill the memory.
        self._limits.check("files", len(self.files), name=str(self._root), what="image files")

    def _follow(self, link: _Link) -> None:
        _, path, real = link
        try:
            facts = os.stat(self._root / path)
        except OSError:
            # A broken image link is an image that cannot be read; of others nothing is known.
            if why_passed_over(path) is None:
                self.files.append(path)
            else:
                self.passed_over.add(path, why_passed_over(path) or "a link that leads nowhere")
            return
        if is_hidden(path.rpartition("/")[2]):
            self.passed_over.add(path, HIDDEN)
        elif stat.S_ISDIR(facts.st_mode):
            if f"{self._real_root}/".startswith(f"{real.rstrip('/')}/"):
                self.passed_over.add(path, "a link in a circle, back to a folder above it")
            elif real in self._folders:
                first = visible(self._folders[real])
                self.passed_over.add(path, f"a link to the folder {first!r}, read under that name")
            else:
                self._enter(path, real)
        elif real in self._linked or self._is_listed(real):
            self.passed_over.add(path, _SECOND_LINK)
        else:
            self._linked[real] = path
            self._file(path, real, facts)

    def _is_listed(self, real: str) -> bool:
        """Whether a real file is among the files of the set by a path without links."""
        folder, name = os.path.split(real)
        return folder in self._folders and os.path.splitext(name)[1].lower() in image_suffixes()

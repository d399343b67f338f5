#!/usr/bin/env python3
"""Builds lexicon.txt.gz out of three published lists. README.md beside it says where they come from.

usage: build.py CENSUS_DIR PHILTER_FILTERS_DIR WORDS_FILE OUT.gz

CENSUS_DIR holds dist.female.first, dist.male.first and dist.all.last (PyPI `names` 0.3.0),
PHILTER_FILTERS_DIR the folders blacklists and whitelists (PyPI `philter_ucsf` 1.0.3),
WORDS_FILE the word list of Debian's `wamerican` 2020.12.07-2.
"""
import gzip
import json
import re
import sys

# What a line's letters say; `lexicon.rs` reads them.
FIRST, LAST, RARE_FIRST, RARE_LAST, WORD, VOCABULARY = "flrswv"

# Surnames beyond this rank are as often words of something else.
LAST_RANK_MAX = 30_000
NAME_LETTERS = range(2, 15)
WORD_LETTERS = range(2, 19)


def main(census, philter, words_file, out):
    entries = {}

    def add(word, flag, letters):
        word = word.strip().lower().replace("'", "")
        if re.fullmatch("[a-z]+", word) and len(word) in letters:
            entries.setdefault(word, set()).add(flag)

    for part in ("female", "male"):
        for line in open(f"{census}/dist.{part}.first"):
            add(line.split()[0], FIRST, NAME_LETTERS)
    for line in open(f"{census}/dist.all.last"):
        name, _, _, rank = line.split()
        add(name, LAST if int(rank) <= LAST_RANK_MAX else RARE_LAST, NAME_LETTERS)
    for name in json.load(open(f"{philter}/blacklists/firstnames_minus_fps.json")):
        add(name, RARE_FIRST, NAME_LETTERS)
    for name in json.load(open(f"{philter}/blacklists/lastnames_minus_fps.json")):
        add(name, RARE_LAST, NAME_LETTERS)
    for word in open(words_file):
        word = word.strip()
        if word.endswith("'s"):
            continue
        if word.islower():
            add(word, WORD, WORD_LETTERS)
    for word in json.load(open(f"{philter}/whitelists/whitelist_plus_fps_091718_nonames.json")):
        add(word, VOCABULARY, WORD_LETTERS)
    lines = []
    for word in sorted(entries):
        flags = entries[word]
        if FIRST in flags:
            flags.discard(RARE_FIRST)
        if LAST in flags:
            flags.discard(RARE_LAST)
        if WORD in flags:
            flags.discard(VOCABULARY)
        lines.append(f"{word} {''.join(sorted(flags))}\n")
    # No time and no name in the header: the same lists give the same bytes.
    with open(out, "wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=0) as packed:
        packed.write("".join(lines).encode())


main(*sys.argv[1:])

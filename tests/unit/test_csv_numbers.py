"""Numbers out of files as spreadsheets write them."""

from pathlib import Path

import pytest

from smsbridge.commands import csv_numbers
from smsbridge.core import errors

NAMED = "Имя;Телефон;Город\nАнна;+7 999 123-45-67;Москва\nПётр;8 (999) 123-45-68;Тверь\n"
BOTH = ("79991234567", "79991234568")


def read(tmp_path: Path, content: bytes) -> csv_numbers.FileNumbers:
    path = tmp_path / "base.csv"
    path.write_bytes(content)
    return csv_numbers.read(path, default_region="RU")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1251"])
@pytest.mark.parametrize("separator", [";", ",", "\t"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_every_encoding_and_separator(tmp_path: Path, encoding: str, separator: str, ending: str) -> None:
    text = NAMED.replace(";", separator).replace("\n", ending)
    found = read(tmp_path, text.encode(encoding))
    assert (found.msisdns, found.bad_lines, found.rows, found.separator) == (BOTH, (), 2, separator)


@pytest.mark.parametrize(
    "heading", ["phone", "Phone number", "Телефон", "НОМЕР", "Mobile", "Мобильный телефон", "Номер клиента"]
)
def test_the_column_by_its_heading(tmp_path: Path, heading: str) -> None:
    """Another column may hold numbers as well."""
    text = f"id,backup,{heading}\n1,+79990000001,{BOTH[0]}\n2,+79990000002,{BOTH[1]}\n"
    expected = BOTH
    assert read(tmp_path, text.encode()).msisdns == expected


def test_the_column_by_what_it_holds(tmp_path: Path) -> None:
    assert read(tmp_path, b"1,Anna,79991234567\n2,Peter,79991234568\n").msisdns == BOTH
    assert read(tmp_path, b"who,reach\nAnna,79991234567\nPeter,79991234568\n").msisdns == BOTH
    assert read(tmp_path, b"79991234567\n79991234568\n").msisdns == BOTH


def test_each_number_once_and_bad_lines_by_their_number(tmp_path: Path) -> None:
    text = 'phone,note\n+79991234567,a\n"8 999 123 45 67","two\nlines"\n'
    text += "call me,b\n,c\n\n89991234568,d\n7.99E+10,e\n"
    found = read(tmp_path, text.encode())
    assert (found.msisdns, found.bad_lines, found.rows) == (BOTH, (5, 6, 9), 6)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "base.csv is empty"),
        (b"\n \n", "base.csv is empty"),
        (b"name,city\nAnna,Moscow\n", "base.csv, line 2: no cell is a phone number"),
        (b"name,phone\nAnna,none\n", "base.csv, line 2: no cell is a phone number"),
        (b"phone\n", "base.csv, line 1: no cell is a phone number"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00", "base.csv, line"),
    ],
    ids=["nothing", "empty lines", "no phones", "an empty column", "a heading alone", "no text"],
)
def test_a_file_without_phones_is_refused(tmp_path: Path, content: bytes, sentence: str) -> None:
    with pytest.raises(errors.InputError, match=sentence):
        read(tmp_path, content)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(errors.InputError, match=r"no\.csv cannot be read"):
        csv_numbers.read(tmp_path / "no.csv", default_region="RU")

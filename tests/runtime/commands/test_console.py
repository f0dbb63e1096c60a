"""What the commands show: names of other people's files are texts, and nothing more."""

from rich.table import Table

from cyclegan_edge.runtime.commands.console import print_wide


def test_names_in_a_table_neither_style_it_nor_steer_the_terminal(capsys) -> None:
    table = Table(title="a\x1b[2Jb[/] :smile:")
    table.add_column("head \x1b]0;owned\x07")
    table.add_row("[/red] [bold]\x9b31m.onnx")
    print_wide(table)
    shown = capsys.readouterr().out
    assert not {"\x1b", "\x07", "\x9b"} & set(shown)
    assert "[/red] [bold]\N{REPLACEMENT CHARACTER}31m.onnx" in shown
    assert "b[/] :smile:" in shown

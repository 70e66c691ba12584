"""LaTeX of tables: escaped, plain ASCII, every row with as many cells as columns; where an engine is there, it sets."""

from __future__ import annotations

import re
import shutil
import subprocess

import pandas as pd
import pytest

from analysis.tables.latex import escape, latex
from analysis.tables.tables import Table, build_tables


def test_escaping():
    assert escape("50 % & AP_M #1 {x} ~ a\\b") == (r"50 \% \& AP\_M \#1 \{x\} \textasciitilde{} a\textbackslash{}b")
    assert escape("α 0.3 ¹²") == r"$\alpha$ 0.3 \textsuperscript{1}\textsuperscript{2}"
    assert escape("-1.7 [-0.2, +0.1] fine-tuned 128-96") == "$-$1.7 [$-$0.2, +0.1] fine-tuned 128-96"
    assert escape("[a]") == "{}[a]" and escape("☃") == "{}[U+2603]"
    assert escape("*a") == "{}*a" and escape("\x1b[31m") == "{}[U+001B][31m"


def test_a_table_is_a_float_with_rules_caption_and_notes():
    shown = pd.DataFrame({"α": ["0.3 ¹"], "AP (paper)": ["–"]})
    text = latex(Table("table9", "Effect of α", pd.DataFrame(), shown, ["¹ 5 % of it."]))
    assert text.splitlines() == [
        r"% needs \usepackage{booktabs,graphicx}", r"\begin{table}", r"\centering", r"\caption{Effect of $\alpha$}",
        r"\label{tab:table9}", r"\begin{tabular}{lr}", r"\toprule", r"$\alpha$ & AP (paper) \\", r"\midrule",
        r"0.3 \textsuperscript{1} & -- \\", r"\bottomrule", r"\end{tabular}",
        r"\par\smallskip\parbox{\linewidth}{\footnotesize\raggedright \textsuperscript{1} 5 \% of it.}", r"\end{table}",
    ]  # fmt: skip


def test_every_table_is_ascii_and_rectangular():
    for table in build_tables():
        text = latex(table)
        assert text.isascii() and "[U+" not in text, table.id
        body = text.split(r"\toprule")[1].split(r"\bottomrule")[0]
        widths = {len(re.findall(r"(?<!\\)&", line)) for line in body.splitlines() if line.endswith(r"\\")}
        assert widths == {len(table.shown.columns) - 1}, table.id
        unescaped = re.sub(r"\\[{}]", "", text)
        assert unescaped.count("{") == unescaped.count("}"), table.id


@pytest.mark.slow
def test_an_engine_sets_every_table(tmp_path):
    if shutil.which("pdflatex") is None:
        pytest.skip("no pdflatex here")
    tables = "\n\\clearpage\n".join(latex(table) for table in build_tables())
    document = r"\documentclass{article}\usepackage{booktabs,graphicx}\begin{document}" + tables + r"\end{document}"
    (tmp_path / "all.tex").write_text(document)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False)
    if "not found" in done.stdout:
        pytest.skip("this TeX lacks booktabs or graphicx")
    assert done.returncode == 0, done.stdout[-2000:]

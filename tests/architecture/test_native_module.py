import subprocess
import sys


def test_another_pyarrow_than_compiled_against_is_told_in_one_line():
    code = (
        "import pyarrow; pyarrow.__version__ = '1.2.3'\n"
        "from parsl_tl.cli import main\n"
        "raise SystemExit(main(['spaces', 'dense-skip']))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert run.stderr.count("\n") == 1
    assert "1.2.3" in run.stderr
    assert "compile" in run.stderr


def test_the_native_module_does_without_the_pyarrow_package():
    code = (
        "import sys; from parsl_tl.native import native\n"
        "assert native.PYARROW_VERSION and 'pyarrow' not in sys.modules\n"
        "import pyarrow; assert pyarrow.table({'a': [1]}).num_rows == 1"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

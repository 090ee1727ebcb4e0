import pytest

from calsweep.dashboards.web.models.permission import VARIABLE, Permission, read_permission

TOKEN = "0123456789abcdef"


def test_only_the_token_is_admitted_and_nothing_shows_it():
    permission = Permission.of(TOKEN)
    assert permission.admits(TOKEN)
    assert not permission.admits(TOKEN[:-1])
    assert not permission.admits("")
    assert TOKEN not in repr(permission)


def test_token_of_the_environment_is_not_inherited(monkeypatch):
    monkeypatch.setenv(VARIABLE, f"{TOKEN}\n")
    assert read_permission(None).admits(TOKEN)
    with pytest.raises(ValueError, match="needs a token, but CALSWEEP_PROMOTE_TOKEN is not set"):
        read_permission(None)


def test_short_token_is_refused():
    with pytest.raises(ValueError, match="16 characters or more, but has 15"):
        Permission.of(TOKEN[1:])


def test_file_of_a_token_is_its_owners_alone(tmp_path):
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    file.chmod(0o644)
    with pytest.raises(ValueError, match="owner alone, but .* has mode 644: `chmod 600"):
        read_permission(file)
    file.chmod(0o600)
    assert read_permission(file).admits(TOKEN)

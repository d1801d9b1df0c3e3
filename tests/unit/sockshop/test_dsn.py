import pytest

from sockshop.catalogue.dsn import DEFAULT, Dsn


def test_the_default_leads_to_the_shops_own_database():
    dsn = Dsn.parse(DEFAULT)
    assert (dsn.host, dsn.port, dsn.user, dsn.password, dsn.database) == (
        "catalogue-db", 3306, "catalogue_user", "default_password", "socksdb",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "host", "port", "user", "password"),
    [
        ("u:p@ss:w/d@tcp(h:1)/d?parseTime=true", "h", 1, "u", "p@ss:w/d"),
        ("tcp(h)/d", "h", 3306, "", ""),
        ("u@/d", "127.0.0.1", 3306, "u", ""),
        ("u@tcp([::1]:3307)/d", "::1", 3307, "u", ""),
    ],
)
def test_the_forms_of_gos_driver_are_read(text, host, port, user, password):
    dsn = Dsn.parse(text)
    assert (dsn.host, dsn.port, dsn.user, dsn.password) == (host, port, user, password)


@pytest.mark.parametrize(
    "text", ["", "nonsense", "u:secret@unix(/x)/d", "u:secret@tcp(h:port)/d", "u:secret@tcp(h:0)/d"]
)
def test_errors_do_not_tell_the_password(text):
    with pytest.raises(ValueError, match="-DSN") as caught:
        Dsn.parse(text)
    assert "secret" not in str(caught.value)


def test_the_password_is_not_in_its_repr():
    assert "default_password" not in repr(Dsn.parse(DEFAULT))

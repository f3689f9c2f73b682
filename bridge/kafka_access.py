"""How every client of ours reaches Kafka: where it is, how the connection is protected, and who we are.

One place for all of them: a client that was forgotten would speak plaintext to a broker that asks for more, or the
other way round.
"""

from __future__ import annotations

import ssl
from typing import Any

from bridge.kafka_tokens import EndpointToken, FileToken
from bridge.settings import OAUTH, KafkaSettings, SettingsError

_ENCRYPTED = frozenset({"SSL", "SASL_SSL"})


def client_options(settings: KafkaSettings) -> dict[str, Any]:
    """Arguments of any aiokafka client. Raises SettingsError when a file is not what it should be."""
    options: dict[str, Any] = {
        "bootstrap_servers": settings.kafka_bootstrap,
        "security_protocol": settings.kafka_security_protocol,
        "ssl_context": tls(settings),
    }
    if (provider := token_provider(settings)) is not None:
        options |= {"sasl_mechanism": OAUTH, "sasl_oauth_token_provider": provider}
    elif settings.kafka_security_protocol.startswith("SASL"):
        options |= {
            "sasl_mechanism": settings.kafka_security_mechanism,
            "sasl_plain_username": settings.kafka_security_user,
            "sasl_plain_password": settings.kafka_security_password.get_secret_value(),
        }
    return options


def token_provider(settings: KafkaSettings) -> FileToken | EndpointToken | None:
    """Where tokens come from; None where none is asked for."""
    if not settings.kafka_security_protocol.startswith("SASL") or settings.kafka_security_mechanism != OAUTH:
        return None
    if settings.kafka_security_token_file is not None:
        return FileToken(settings.kafka_security_token_file)
    return EndpointToken(
        settings.kafka_security_token_url or "",
        (settings.kafka_security_user, settings.kafka_security_password.get_secret_value()),
        scope=settings.kafka_security_token_scope,
        timeout_s=settings.kafka_security_token_timeout_s,
    )


def tls(settings: KafkaSettings) -> ssl.SSLContext | None:
    """Verifies the broker's certificate and its name; None where nothing is encrypted. Raises SettingsError."""
    if settings.kafka_security_protocol not in _ENCRYPTED:
        return None
    try:
        context = ssl.create_default_context(cafile=settings.kafka_security_ca_file)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"BRH_KAFKA_SECURITY_CA_FILE: cannot be used ({_said(error)})") from None
    if settings.kafka_security_cert_file is not None:
        try:
            context.load_cert_chain(settings.kafka_security_cert_file, settings.kafka_security_key_file)
        except (OSError, ssl.SSLError) as error:
            said = _said(error)
            raise SettingsError(f"BRH_KAFKA_SECURITY_CERT_FILE, …_KEY_FILE: cannot be used ({said})") from None
    return context


def _said(error: OSError) -> str:
    return "it is not PEM" if isinstance(error, ssl.SSLError) else error.strerror or type(error).__name__

"""Files of the Hugging Face hub: where they lie, and their bytes.

The library `huggingface_hub` knows the hub: its address, tokens, proxies and certificates, each by
the variable that users know, and what its answers mean. The bytes are read here. Its own download
begins anew after a kill, takes what a server sends until the disk is full, and waits for ever for
one byte every few seconds: docs/fetch.md has what was seen.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urljoin, urlsplit

from phylotools.errors import InputError, shown
from phylotools.version import __version__

if TYPE_CHECKING:
    import httpx2

Result = TypeVar("Result")

EXTRA = "pip install 'phylotools[hub]'"
#: From where the hub says that the bytes are; one is usual for its newer storage.
_MOST_REDIRECTS = 5
#: Answers that may be others a moment later.
_PASSING = frozenset({408, 429, 500, 502, 503, 504})
SHA256_DIGITS, SHA1_DIGITS = 64, 40


class HubTrouble(InputError):
    """What may be over a moment later: a cut connection, a server that is busy."""


class HubUnreachable(HubTrouble):
    """No connection came about: for who has no network, nothing will be otherwise in a minute."""


@dataclass(frozen=True)
class Patience:
    """How long a server is waited for.

    Attributes
    ----------
    tries : int
        In a row that bring no byte more.
    first_wait, longest_wait : float
        Seconds between two tries; the first, and what it is doubled up to.
    answer : float
        Seconds until the head of an answer is complete.
    silence : float
        Seconds without a byte.
    slowest, window : float
        Bytes a second, on average over so many seconds. At the slowest, the weights of PhyloGPN
        would take four days.
    """

    tries: int = 5
    first_wait: float = 1.0
    longest_wait: float = 30.0
    answer: float = 60.0
    silence: float = 30.0
    slowest: float = 1000.0
    window: float = 60.0

    def wait(self, failures: int) -> None:
        """Let the time pass that is between this many failures and the next try."""
        time.sleep(min(self.first_wait * 2 ** (failures - 1), self.longest_wait))


@dataclass(frozen=True)
class HubFile:
    """A file of a repository, as the hub describes it.

    Attributes
    ----------
    name, repository, commit : str
    location : str
        URL of its bytes, which may hold a signature and is never shown.
    size : int
        Bytes.
    checksum : str
        Hexadecimal: SHA-256 (64 digits) of large files, SHA-1 (40 digits) of git's blob else.
    """

    name: str
    repository: str
    commit: str
    location: str
    size: int
    checksum: str


def load_library() -> ModuleType:
    """`huggingface_hub`.

    Raises
    ------
    InputError
        If it is not installed, or its variables make no sense.
    """
    # Else it asks the hub, before all else, for the names of programs that may have started it.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        with warnings.catch_warnings(action="ignore"):
            import huggingface_hub
            import huggingface_hub.constants
            import huggingface_hub.errors
            import huggingface_hub.utils
    except ImportError as error:
        raise InputError(
            f"the hub's library cannot be loaded ({error})", remedy=f"install it: {EXTRA}"
        ) from None
    except ValueError as error:
        raise InputError(
            f"the hub's library cannot be loaded ({shown(str(error))})",
            remedy="look at the variables whose names begin with HF_",
        ) from None
    return huggingface_hub


class Hub:
    """A hub: the public one, or the one that HF_ENDPOINT names.

    Parameters
    ----------
    endpoint : str, optional
        URL [default: as the library has it].
    patience : Patience

    Raises
    ------
    InputError
        If the library is not installed, or the endpoint is no URL.
    """

    def __init__(self, endpoint: str | None = None, patience: Patience | None = None) -> None:
        self._library: Any = load_library()
        self.endpoint = (endpoint or self._library.constants.ENDPOINT).rstrip("/")
        self.patience = patience or Patience()
        #: Its name, for messages.
        self.host = _host(self.endpoint)

    @property
    def is_offline(self) -> bool:
        """Whether HF_HUB_OFFLINE is set."""
        return bool(self._library.is_offline_mode())

    def find_cached(self, repository: str, revision: str, name: str) -> str | None:
        """Path of a file in the library's own cache, which other programs fill; None if not there.

        Parameters
        ----------
        repository, name : str
        revision : str
            Commit.
        """
        found = self._library.try_to_load_from_cache(repository, name, revision=revision)
        return found if isinstance(found, str) else None

    def locate(self, repository: str, revision: str, name: str) -> HubFile:
        """Ask where a file of a repository lies.

        Raises
        ------
        HubTrouble
            If the hub cannot answer now.
        InputError
            If it has no such file, does not let it be read, or makes no sense.
        """
        url = self._library.hf_hub_url(repository, name, revision=revision)
        url = self.endpoint + url.removeprefix(self._library.constants.ENDPOINT)
        wanted = _Wanted(repository, revision, name, self.host)
        with self._explained(wanted), self._quiet():
            found = self._answered(
                lambda: self._library.get_hf_file_metadata(
                    url, token=False, headers=self._headers(), timeout=self.patience.silence
                )
            )
            location = urljoin(url, found.location)
        commit, checksum = found.commit_hash or "", found.etag or ""
        if not _is_hexadecimal(commit, SHA1_DIGITS) or not (
            _is_hexadecimal(checksum, SHA1_DIGITS) or _is_hexadecimal(checksum, SHA256_DIGITS)
        ):
            raise InputError(
                f"{self.host} does not answer as a hub: {name} has no commit or no checksum",
                remedy="look at HF_ENDPOINT, and at what a proxy answers",
            )
        if is_commit(revision) and commit != revision:
            raise InputError(f"{self.host} answers with commit {commit} where {revision} is wanted")
        if found.size is None or found.size < 0:
            raise InputError(f"{self.host} does not say how long {name} is")
        return HubFile(name, repository, commit, location, found.size, checksum)

    @contextlib.contextmanager
    def opened(self, file: HubFile, start: int) -> Iterator[tuple[int, Iterator[bytes]]]:
        """Open a file's bytes.

        Parameters
        ----------
        file : HubFile
        start : int
            Bytes that are at hand already.

        Yields
        ------
        tuple of int and iterator of bytes
            Where the bytes begin (0 if the server has no middle to give), and they.

        Raises
        ------
        HubTrouble
            If they cannot be had now, or come too slowly; in reading too.
        InputError
            If they are not those of the file.
        """
        wanted = _Wanted(file.repository, file.commit, file.name, self.host)
        with self._explained(wanted), contextlib.ExitStack() as stack:
            response = self._redirected(file, start, stack)
            begin = _check_head(response, file, start)
            yield begin, self._paced(response)

    def _redirected(
        self, file: HubFile, start: int, stack: contextlib.ExitStack
    ) -> httpx2.Response:
        """The answer to a request of a file's bytes, at the end of all redirects."""
        url = file.location
        _refuse_insecure(self.endpoint, url)
        for _ in range(_MOST_REDIRECTS):
            headers = self._headers()
            if _origin(url) != _origin(self.endpoint):
                headers.pop("authorization", None)
            headers["Accept-Encoding"] = "identity"
            if start:
                headers["Range"] = f"bytes={start}-"
            request = self._library.get_session().stream(
                "GET", url, headers=headers, timeout=self.patience.silence, follow_redirects=False
            )
            # Each is closed before the next is asked for: the body of a redirect is never read.
            response = self._answered(request.__enter__)
            if not response.has_redirect_location:
                stack.push(request)
                return response
            request.__exit__(None, None, None)
            target = urljoin(url, response.headers["Location"])
            _refuse_insecure(url, target)
            url = target
        raise InputError(f"{self.host} redirects {file.name} for ever")

    def _paced(self, response: httpx2.Response) -> Iterator[bytes]:
        """Bytes of an answer; `HubTrouble` if they come too slowly to wait for them."""
        since, n_bytes = time.monotonic(), 0
        for chunk in response.iter_raw():
            yield chunk
            n_bytes += len(chunk)
            seconds = time.monotonic() - since
            if seconds >= self.patience.window:
                if n_bytes < self.patience.slowest * seconds:
                    raise HubTrouble(f"only {n_bytes:,} bytes came in {seconds:.0f} s")
                since, n_bytes = time.monotonic(), 0

    def _headers(self) -> dict[str, str]:
        """Who asks, and the user's token, which is for the hub alone."""
        headers: dict[str, str] = self._library.utils.build_hf_headers(
            library_name="phylotools", library_version=__version__
        )
        return headers

    def _answered(self, ask: Callable[[], Result]) -> Result:
        """What a question brings; its connections are closed where that takes too long.

        A server that sends a byte of the head now and then is never silent for long.
        """
        is_late = threading.Event()

        def give_up() -> None:
            is_late.set()
            self._library.close_session()

        timer = threading.Timer(self.patience.answer, give_up)
        timer.daemon = True
        timer.start()
        try:
            return ask()
        except Exception as error:
            if is_late.is_set():
                raise HubTrouble(
                    f"{self.host} did not answer within {self.patience.answer:.0f} s"
                ) from None
            # Of a file: what goes wrong with connections has no number of the system's here.
            if isinstance(error, OSError) and error.errno is not None:
                raise InputError(
                    f"{error.filename or 'a file of certificates'}: {error.strerror}",
                    remedy="look at SSL_CERT_FILE, SSL_CERT_DIR, HF_HOME and HF_TOKEN_PATH",
                ) from None
            raise
        finally:
            timer.cancel()

    @contextlib.contextmanager
    def _quiet(self) -> Iterator[None]:
        """Keep the library from logging what the server sends."""
        logger = logging.getLogger("huggingface_hub")
        before = logger.level
        logger.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            logger.setLevel(before)

    @contextlib.contextmanager
    def _explained(self, wanted: _Wanted) -> Iterator[None]:
        """Turn what the library and its HTTP client raise into our errors.

        Their texts may hold tokens and signed URLs, and none is passed on.
        """
        import httpx2

        errors = self._library.errors
        try:
            yield
        except errors.HfHubHTTPError as error:
            code = error.response.headers.get("X-Error-Code", "")
            raise wanted.refused(error.response.status_code, code) from None
        except errors.OfflineModeIsEnabled:
            raise InputError("the network is off, by HF_HUB_OFFLINE", remedy="unset it") from None
        except errors.OIDCError:
            raise InputError("no token can be had by HF_OIDC_RESOURCE") from None
        except httpx2.ProxyError:
            raise HubTrouble(
                "the proxy does not connect",
                remedy="look at HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY",
            ) from None
        except httpx2.ConnectError as error:
            raise self._unconnected(error) from None
        except httpx2.TimeoutException:
            raise HubTrouble(f"{self.host} is silent") from None
        except (httpx2.NetworkError, httpx2.RemoteProtocolError):
            raise HubTrouble("the connection was cut") from None
        except (
            *(httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError),
            *(ValueError, ImportError),  # a proxy's URL that is none, or of a kind not installed
        ) as error:
            raise InputError(
                f"{wanted.name} cannot be asked for from {self.host} ({type(error).__name__})",
                remedy="look at HF_ENDPOINT, HF_TOKEN and the variables of proxies",
            ) from None

    def _unconnected(self, error: Exception) -> InputError:
        """Why no connection came about."""
        if "CERTIFICATE" in str(error).upper():
            return InputError(
                f"the certificate of {self.host} is not trusted",
                remedy="if a proxy reads along, name its certificates with SSL_CERT_FILE",
            )
        return HubUnreachable(
            f"cannot reach {self.host} ({shown(_system_text(error))})",
            remedy="check the network and its proxies, or copy the model's folder from a machine "
            "that has fetched it",
        )


@dataclass(frozen=True)
class _Wanted:
    """What was asked for, to say why it is not to be had."""

    repository: str
    revision: str
    name: str
    host: str

    def refused(self, status: int, code: str) -> InputError:
        """The error of an answer's status and of the hub's own code for it."""
        repository = f"{self.host}/{self.repository}"
        if status in _PASSING:
            return HubTrouble(f"{self.host} answered {status} for {self.name}")
        if code == "RevisionNotFound":
            return InputError(
                f"{repository} has no revision '{shown(self.revision)}'",
                remedy="name a tag, a branch, or a commit with all its 40 digits",
            )
        if code == "EntryNotFound":
            return InputError(
                f"{repository} has no {self.name} at revision '{shown(self.revision)}'",
                remedy="choose another revision",
            )
        if status in (401, 403):
            return InputError(
                f"{repository} may not be read (answer {status})",
                remedy="if its authors grant access, accept their terms on its page, and give your "
                "token in HF_TOKEN or with `hf auth login`",
            )
        return InputError(f"{self.host} answered {status} for {self.name}, revision "
                          f"'{shown(self.revision)}'")  # fmt: skip


def _check_head(response: httpx2.Response, file: HubFile, start: int) -> int:
    """Where the bytes of an answer begin; raises if they cannot be those of the file."""
    host = shown(response.url.host)
    if response.status_code in _PASSING or response.status_code in (401, 403, 404, 410):
        # Where the bytes lie is signed for an hour or so: the next try asks anew.
        raise HubTrouble(f"{host} answered {response.status_code} for {file.name}")
    if response.status_code not in (200, 206):
        raise InputError(f"{host} answered {response.status_code} for {file.name}")
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise InputError(f"{host} compresses {file.name}, which was not asked for")
    begin = start if response.status_code == 206 else 0
    told = response.headers.get("Content-Range", "")
    if response.status_code == 206 and told != f"bytes {start}-{file.size - 1}/{file.size}":
        raise InputError(f"{host} sends another part of {file.name} than was asked for")
    length = response.headers.get("Content-Length")
    if length is not None and length != str(file.size - begin):
        raise InputError(
            f"{host} has {shown(length)} bytes of {file.name} where {file.size - begin} are due"
        )
    return begin


def _refuse_insecure(url: str, target: str) -> None:
    """Raise `InputError` where one is led from an encrypted connection to any other."""
    schemes = urlsplit(url).scheme, urlsplit(target).scheme
    if schemes[1] not in ("http", "https") or schemes == ("https", "http"):
        raise InputError(
            f"{shown(urlsplit(url).hostname or '')} redirects from {schemes[0]} to "
            f"{shown(schemes[1])}, which is not followed"
        )


def _host(url: str) -> str:
    """Host and port of a URL, without user and password; `InputError` for what is no URL."""
    try:
        host = urlsplit(url).netloc.rpartition("@")[2]
    except ValueError:
        host = ""
    if not host:
        raise InputError(f"'{shown(url)}' is no URL of a hub", remedy="look at HF_ENDPOINT")
    return shown(host)


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port


def is_commit(revision: str) -> bool:
    """Whether a revision is a commit with all its digits."""
    return _is_hexadecimal(revision, SHA1_DIGITS)


def _is_hexadecimal(text: str, n_digits: int) -> bool:
    return len(text) == n_digits and not text.strip("0123456789abcdef")


def _system_text(error: BaseException) -> str:
    """What the system says of a failed connection, deep in the causes of an error."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return "no connection"

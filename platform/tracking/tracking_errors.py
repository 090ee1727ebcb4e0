"""What MLflow answers when it does not do what it is asked."""

from __future__ import annotations


class ModelNotFound(LookupError):
    """No model at an address."""

    def __init__(self, uri: str, reason: str) -> None:
        super().__init__(uri, reason)
        self.uri = uri
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"No model at {self.uri}: {self.reason} "
            "`calsweep promote SWEEP` registers one as models:/NAME@champion."
        )


class TrackingRefused(ValueError):
    """MLflow cannot be reached, or does not do what it is asked."""

    def __init__(self, uri: str, reason: str) -> None:
        super().__init__(uri, reason)
        self.uri = uri
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"MLflow at {self.uri} refuses: {self.reason.rstrip('.')}. Check that it runs and that "
            "--tracking-uri (or MLFLOW_TRACKING_URI) names it, then give the same command again; "
            "the sweep's record holds every result."
        )

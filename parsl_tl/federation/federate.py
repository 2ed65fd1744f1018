"""Several sites' Parsl configurations as one."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from parsl_tl.errors import ConfigError
from parsl_tl.store.connection import SITE_STORE_VARIABLE

if TYPE_CHECKING:
    import parsl


def federate(
    *configs: parsl.Config,
    names: Sequence[str] | None = None,
    stores: Sequence[str | None] | None = None,
    run_dir: str | None = None,
) -> parsl.Config:
    """Makes one configuration of several: all their executors, each labelled by its site.

    What concerns the kernel as a whole (retries, strategy, ``run_dir``) is the first one's.

    Args:
        *configs: of the sites. Their executors become this configuration's, so that none of them
            can be loaded any more.
        names: of the sites. An executor is labelled with its site's name, or ``name_label`` where
            the site has several; without names, labels stay, and must differ.
        stores: URI of each site's own store, None for a site whose workers use the search's. They
            follow each other; see the guide on stores of several sites.
        run_dir: where Parsl writes its logs; the first one's by default.

    Raises:
        ConfigError: no configuration, labels that are equal, or another number of names or
            stores.
    """
    import parsl

    if not configs:
        raise ConfigError("federate() takes the configurations of the sites; none was given")
    if names is not None and len(names) != len(configs):
        raise ConfigError(f"{len(configs)} configurations have {len(names)} names; give one each")
    if stores is not None and len(stores) != len(configs):
        raise ConfigError(f"{len(configs)} configurations have {len(stores)} stores; give one each")
    executors = []
    for number, config in enumerate(configs):
        own = list(config.executors)
        for executor in own:
            if names is not None:
                site = names[number]
                executor.label = site if len(own) == 1 else f"{site}_{executor.label}"
            if stores is not None and (store := stores[number]) is not None:
                _use_store(executor, store)
            executors.append(executor)
    labels = [executor.label for executor in executors]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise ConfigError(
            f"several sites have executors labelled {', '.join(twice)}; give names= for the sites"
        )
    first = configs[0]
    return parsl.Config(
        executors=executors,
        run_dir=run_dir or first.run_dir,
        retries=first.retries,
        retry_handler=first.retry_handler,
        strategy=first.strategy,
        strategy_period=first.strategy_period,
        max_idletime=first.max_idletime,
        initialize_logging=first.initialize_logging,
        usage_tracking=first.usage_tracking,
    )


def _use_store(executor: Any, uri: str) -> None:
    provider = getattr(executor, "provider", None)
    if provider is None or not hasattr(provider, "worker_init"):
        raise ConfigError(
            f"executor {executor.label} has no provider whose workers could be told of a store; "
            f"set {SITE_STORE_VARIABLE} where they start, and give None here"
        )
    told = f"export {SITE_STORE_VARIABLE}={shlex.quote(uri)}"
    provider.worker_init = "\n".join(filter(None, [provider.worker_init, told]))

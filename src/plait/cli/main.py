"""The `plait` command: parse, call, print."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from plait.cli.context import Mesh, state_of
from plait.cli.lazy import Entry, LazyGroup

_SECTIONS: Final = {
    "The mesh": {
        "up": Entry("plait.cli.up:up", "Start the mesh, and return when it is ready"),
        "down": Entry("plait.cli.up:down", "Stop the mesh; nothing of it is left running"),
        "status": Entry("plait.cli.status:status", "Whether it runs, its addresses, processes and pods"),
        "doctor": Entry("plait.cli.status:doctor", "Try what a mesh needs of this machine, and say what lacks"),
        "kubeconfig": Entry("plait.cli.status:kubeconfig", "The kubeconfig of the mesh, or where it is"),
        "image": Entry("plait.cli.image:image", "Which program runs for which container image"),
        "version": Entry("plait.cli.status:version", "The versions of plait and of its Envoy"),
    },
    "Objects": {
        "apply": Entry("plait.cli.objects:apply", "Make objects as files say, tried by an Envoy first"),
        "create": Entry("plait.cli.objects:create", "Create the objects of files, none of which exists"),
        "replace": Entry("plait.cli.objects:replace", "Replace objects, whole, by those of files"),
        "delete": Entry("plait.cli.objects:delete", "Delete the objects of files, or those named"),
        "get": Entry("plait.cli.objects:get", "Show objects: a table, or as they are"),
        "describe": Entry("plait.cli.objects:describe_command", "Show objects with what is wrong with them"),
        "convert": Entry("plait.cli.convert:convert", "Print manifests of another time in today's form"),
        "workload": Entry("plait.cli.workload:workload", "Programs that are in no pod: their groups and files"),
        "kube-inject": Entry("plait.cli.kube_inject:kube_inject", "Print manifests with the sidecar in every pod"),
    },
    "Before a change": {
        "validate": Entry("plait.cli.validate:validate", "Check manifests: fields, rules, meaning"),
        "analyze": Entry("plait.cli.analyze:analyze", "Find what is wrong with the objects of files or mesh together"),
        "diff": Entry("plait.cli.diff:diff", "What applying would change: objects, proxies, resources"),
    },
    "What happens": {
        "explain": Entry("plait.cli.explain:explain_command", "Where a call would end up, and which object decides"),
        "proxy-status": Entry("plait.cli.proxy_status:proxy_status", "Whether each proxy has the newest configuration"),
        "proxy-config": Entry("plait.cli.proxy_config:proxy_config", "The configuration of an Envoy"),
        "logs": Entry("plait.cli.logs:logs", "Logs of plait itself, or of a sidecar, explained"),
        "load": Entry("plait.cli.load:load", "Put load on a URL and measure it, as fortio does"),
    },
    "Beside": {
        "completion": Entry("plait.cli.completion:completion", "The completion script of a shell"),
        "dev": Entry("plait.cli.dev:dev", "For those who build plait"),
    },
}


@click.group(
    cls=LazyGroup,
    sections=_SECTIONS,
    aliases={"ps": "proxy-status", "pc": "proxy-config"},
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="""\b
Examples:
  plait up --demo sock-shop        a mesh with the Sock Shop, ready in seconds
  export KUBECONFIG=$(plait kubeconfig --path)
  kubectl get pods -A
  plait proxy-status               which proxies have which configuration
  plait down                       stop; the objects are kept
""",
)
@click.option("--name", default="default", envvar="PLAIT_NAME", show_default=True, help="Which mesh of this machine.")
@click.option(
    "--kubeconfig",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Talk to this cluster instead of the machine's mesh.",
)
@click.pass_context
def main(ctx: click.Context, *, name: str, kubeconfig: Path | None) -> None:
    """Run a service mesh: Istio's YAML, stock Envoy, one Linux machine or Kubernetes."""
    state = state_of(name)
    ctx.obj = Mesh(state, kubeconfig or state.kubeconfig)


if __name__ == "__main__":
    main(prog_name="plait")

"""The template of examples/deploy passes its linters, and its policies allow no more than is needed."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

DEPLOY = Path(__file__).parents[2] / "examples" / "deploy"
TEMPLATE = DEPLOY / "template.yaml"


def test_the_template_passes_its_linter() -> None:
    pytest.importorskip("cfnlint", reason="cfn-lint is not installed; pip install cfn-lint")
    program = Path(sys.executable).with_name("cfn-lint")
    linted = subprocess.run([program, "--", TEMPLATE], capture_output=True, text=True, check=False)
    assert (linted.returncode, linted.stdout) == (0, ""), linted.stdout + linted.stderr


def template() -> dict[str, Any]:
    decode = pytest.importorskip("cfnlint.decode", reason="cfn-lint is not installed; pip install cfn-lint")
    loaded, faults = decode.decode(str(TEMPLATE))
    assert not faults, faults
    found: dict[str, Any] = json.loads(json.dumps(loaded))
    return found


def plain(value: Any, resources: dict[str, Any], name: str = "Resource") -> Any:
    """Texts in the place of references, as a policy's reader meets them."""
    if isinstance(value, list):
        return [plain(item, resources, name) for item in value]
    if not isinstance(value, dict):
        return value
    if "Fn::If" in value:
        return plain(value["Fn::If"][1], resources, name)
    if "Fn::GetAtt" in value or "Ref" in value:
        referred = value.get("Ref") or value["Fn::GetAtt"]
        referred = referred[0] if isinstance(referred, list) else referred.split(".")[0]
        kind = resources.get(referred, {}).get("Type", referred)
        return {
            "AWS::S3::Bucket": f"arn:aws:s3:::{referred.lower()}-bucket",
            "AWS::SQS::Queue": f"arn:aws:sqs:us-east-1:123456789012:{referred}",
            "AWS::SNS::Topic": f"arn:aws:sns:us-east-1:123456789012:{referred}",
            "AWS::IAM::Role": f"arn:aws:iam::123456789012:role/{referred}",
            "AWS::ECS::TaskDefinition": f"arn:aws:ecs:us-east-1:123456789012:task-definition/{referred}:1",
            "AWS::ECS::Cluster": f"arn:aws:ecs:us-east-1:123456789012:cluster/{referred}",
            "AWS::Events::Rule": f"arn:aws:events:us-east-1:123456789012:rule/{referred}",
            "AWS::AccountId": "123456789012",
            "BedrockModels": ["arn:aws:bedrock:us-east-1::foundation-model/amazon.titan-embed-image-v1"],
            "BedrockProfiles": ["arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.nova"],
        }.get(kind, referred)
    if "Fn::Sub" in value:
        text = value["Fn::Sub"]
        for referred in resources:
            arn = plain({"Ref": referred}, resources)
            text = text.replace("${" + referred + ".Arn}", str(arn)).replace("${" + referred + "}", referred)
        for pseudo, stands in {
            "AWS::Partition": "aws",
            "AWS::Region": "us-east-1",
            "AWS::AccountId": "123456789012",
            "FilmPrefix": "films/",
            "Repository": "picchu",
            "CollectionId": "picchu-cast",
        }.items():
            text = text.replace("${" + pseudo + "}", stands)
        assert "${" not in text, text
        return text
    return {key: plain(item, resources, key) for key, item in value.items()}


def policies() -> list[tuple[str, dict[str, Any]]]:
    """Every policy of the template, by the resource that has it; trust policies are none."""
    resources = template()["Resources"]
    found = []
    for name, resource in resources.items():
        properties = resource.get("Properties", {})
        if "PolicyDocument" in properties:
            found.append((name, plain(properties["PolicyDocument"], resources)))
        found.extend(
            (f"{name}/{policy['PolicyName']}", plain(policy["PolicyDocument"], resources))
            for policy in properties.get("Policies", [])
        )
    return found


IDENTITY = {
    "EventsRole/start-workers",
    "ExecutionRole/image",
    "ExecutionRole/logs",
    "FilmsAndDatasets",
    "FromTheQueue",
    "Detect",
    "EmbedAndCaption",
    "Profiles",
}


def test_policies_pass_a_linter_of_policies() -> None:
    with warnings.catch_warnings():
        # It is imported by way of modules that are on their way out.
        warnings.simplefilter("ignore")
        parliament = pytest.importorskip(
            "parliament", reason="parliament is not installed; pip install parliament"
        )
    seen = set()
    for name, policy in policies():
        if name not in IDENTITY:
            continue  # who may do something with a resource: parliament judges what somebody may do
        seen.add(name)
        analyzed = parliament.analyze_policy_string(json.dumps(policy))
        # For bedrock:InvokeModel it asks for every kind of model at once, and would have all of them allowed.
        findings = [
            finding
            for finding in analyzed.findings
            if not (finding.issue == "RESOURCE_MISMATCH" and "bedrock:InvokeModel" in str(finding.detail))
        ]
        assert not findings, (name, [str(finding) for finding in findings])
    assert seen == IDENTITY


def test_nobody_gets_more_than_a_stage_needs() -> None:
    without_resources = {"ecr:GetAuthorizationToken", "rekognition:DetectLabels", "rekognition:DetectFaces"}
    for name, policy in policies():
        for statement in policy["Statement"]:
            actions = statement["Action"]
            actions = [actions] if isinstance(actions, str) else actions
            resources = statement["Resource"]
            resources = [resources] if isinstance(resources, str) else resources
            if statement["Effect"] == "Deny":
                continue
            assert not any("*" in action for action in actions), (name, actions)
            if "*" in resources:
                assert set(actions) <= without_resources, (name, actions)
            if "iam:PassRole" in actions:
                assert (
                    statement["Condition"]["StringEquals"]["iam:PassedToService"] == "ecs-tasks.amazonaws.com"
                )
            if statement.get("Principal"):
                assert statement["Condition"], f"{name} lets a service act for anybody"


def test_what_is_written_starts_nothing() -> None:
    """The rule watches one bucket, and the workers may not write into it."""
    resources = template()["Resources"]
    pattern = resources["Uploaded"]["Properties"]["EventPattern"]
    assert pattern["detail"]["bucket"]["name"] == [{"Ref": "Films"}]
    for name, policy in policies():
        if name not in IDENTITY:
            continue
        for statement in policy["Statement"]:
            if {"s3:PutObject", "s3:DeleteObject"} & set(statement["Action"]):
                assert "films-bucket" not in json.dumps(statement["Resource"]), name


def test_workers_have_a_root_that_nobody_writes_and_end_in_time() -> None:
    container = template()["Resources"]["Worker"]["Properties"]["ContainerDefinitions"][0]
    assert container["ReadonlyRootFilesystem"] is True
    assert container["User"] == "65532:65532"
    assert [mount["ContainerPath"] for mount in container["MountPoints"]] == ["/tmp"]
    grace = next(e["Value"] for e in container["Environment"] if e["Name"] == "PICCHU_GRACE")
    assert int(grace) < container["StopTimeout"] <= 120


def test_scripts_are_shell() -> None:
    for script in [*DEPLOY.glob("*.sh"), *sorted((DEPLOY / "container").iterdir())]:
        first = script.read_text().splitlines()[0]
        if "python" not in first:
            subprocess.run(["bash" if "bash" in first else "sh", "-n", str(script)], check=True)


BILL = runpy.run_path(str(DEPLOY / "container" / "bill.py"))


def described(root: str, *crates: str) -> dict[str, Any]:
    """A document as cargo-cyclonedx writes it: `root` depends on each of the crates."""
    components = [{"bom-ref": f"{name}@1.0.0", "name": name, "version": "1.0.0"} for name in (root, *crates)]
    return {
        "bomFormat": "CycloneDX",
        "serialNumber": "urn:uuid:1",
        "metadata": {"timestamp": "2026-01-01T00:00:00Z", "component": components[0]},
        "components": components[1:],
        "dependencies": [{"ref": f"{root}@1.0.0", "dependsOn": [f"{name}@1.0.0" for name in crates]}]
        + [{"ref": f"{name}@1.0.0", "dependsOn": []} for name in crates],
    }


def test_the_bill_names_what_is_built_in_and_nothing_else() -> None:
    built = {("picchu", "1.0.0"), ("picchu-decoder", "1.0.0"), ("image", "1.0.0")}
    program = BILL["only"](described("picchu", "picchu-decoder", "image", "ort"), built)
    assert [each["name"] for each in program["components"]] == ["picchu-decoder", "image"]
    assert "serialNumber" not in program
    assert "timestamp" not in program["metadata"]
    with pytest.raises(SystemExit, match="aws-sdk-s3"):
        BILL["only"](described("picchu", "image"), built | {("aws-sdk-s3", "1.0.0")})

    whole = BILL["with_decoder"](program, described("picchu-av1", "re_rav1d"), "9.0.2")
    assert [each["name"] for each in whole["components"]] == ["FFmpeg", "image", "picchu-decoder", "re_rav1d"]
    edges = {each["ref"]: each["dependsOn"] for each in whole["dependencies"]}
    assert edges["picchu@1.0.0"] == ["image@1.0.0", "picchu-decoder@1.0.0"]
    assert edges["picchu-decoder@1.0.0"] == ["ffmpeg@9.0.2"]
    assert edges["ffmpeg@9.0.2"] == ["re_rav1d@1.0.0"]
    assert "picchu-av1@1.0.0" not in edges


def test_each_licence_is_handed_on_once_with_the_names_of_its_crates(tmp_path: Path) -> None:
    packages = []
    for name, files in {
        "a": {"LICENSE-MIT": "one text"},
        "b": {"LICENCE": "one text\n", "NOTICE": "more"},
        "c": {},
    }.items():
        (tmp_path / name).mkdir()
        for file, text in files.items():
            (tmp_path / name / file).write_text(text)
        manifest = str(tmp_path / name / "Cargo.toml")
        packages.append({"name": name, "version": "1.0.0", "source": "registry", "manifest_path": manifest})
    components = [{"name": n, "version": "1.0.0", "licenses": [{"expression": "Zlib"}]} for n in "abc"]
    text = BILL["licences"](packages, components)
    assert text.count("one text") == 1
    assert "a 1.0.0, b 1.0.0" in text
    assert "c 1.0.0: Zlib" in text

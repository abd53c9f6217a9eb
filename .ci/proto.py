"""Generate the protobuf modules from every .proto file of the three floors."""

import subprocess
import sys
from pathlib import Path

for proto in sorted(p for floor in ("actors", "gateway", "identity") for p in Path(floor).rglob("*.proto")):
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I.", "--python_out=.", "--pyi_out=.", str(proto)]
    subprocess.run(command, check=True)
    sys.stdout.write(f"{proto}\n")

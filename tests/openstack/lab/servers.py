#!/usr/bin/python3
"""servers.py DB_PORT DATA: writes servers into Nova's database, as its conductor would: five for tenant-a, 2,500 for tenant-big."""
import datetime
import json
import pathlib
import sys
import uuid

import pymysql

port, data = int(sys.argv[1]), pathlib.Path(sys.argv[2])
projects = json.loads((data / "projects.json").read_text())
now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None, microsecond=0)


def hours(n):
    return datetime.timedelta(hours=n)


def flavor(number, name, vcpus, memory_mb, root_gb, ephemeral_gb):
    fields = {"id": number, "name": name, "flavorid": name, "vcpus": vcpus, "memory_mb": memory_mb, "root_gb": root_gb,
              "ephemeral_gb": ephemeral_gb, "swap": 0, "rxtx_factor": 1.0, "vcpu_weight": None, "disabled": False,
              "is_public": True, "extra_specs": {}, "description": None, "created_at": None, "updated_at": None,
              "deleted_at": None, "deleted": False}
    return {"nova_object.name": "Flavor", "nova_object.namespace": "nova", "nova_object.version": "1.2",
            "nova_object.data": fields}


SMALL, LARGE = flavor(1, "s3.medium.1", 1, 1024, 0, 0), flavor(2, "s3.large.4", 2, 8192, 40, 10)
database = pymysql.connect(host="127.0.0.1", port=port, user="lab", password="lab", database="nova")
cursor = database.cursor()


def insert(table, row):
    cursor.execute(f"insert into {table} ({', '.join(row)}) values ({', '.join(['%s'] * len(row))})", list(row.values()))


def server(project, name, kind, launched, terminated=None, state="active"):
    size, own = kind["nova_object.data"], str(uuid.uuid4())
    insert("instances", {
        "created_at": launched or now, "uuid": own, "project_id": projects[project], "user_id": "lab",
        "display_name": name, "hostname": name, "host": "compute-1.lab", "node": "compute-1.lab", "vm_state": state,
        "power_state": 1, "instance_type_id": size["id"], "memory_mb": size["memory_mb"], "vcpus": size["vcpus"],
        "root_gb": size["root_gb"], "ephemeral_gb": size["ephemeral_gb"], "launched_at": launched,
        "terminated_at": terminated, "deleted_at": terminated, "deleted": 0, "hidden": 0, "image_ref": "",
        "reservation_id": "r-lab"})
    if terminated:
        cursor.execute("update instances set deleted = id where uuid = %s", [own])
    insert("instance_extra", {"created_at": now, "deleted": 0, "instance_uuid": own,
                              "flavor": json.dumps({"cur": kind, "old": None, "new": None})})


server("tenant-a", "web-1", LARGE, now - hours(240))
server("tenant-a", "web-2", LARGE, now - hours(100), state="stopped")
server("tenant-a", "cache-1", SMALL, now - hours(50) + datetime.timedelta(seconds=7))
server("tenant-a", "batch-gone", SMALL, now - hours(72), now - hours(70.5), state="deleted")
server("tenant-a", "never-launched", SMALL, None, state="error")
for i in range(2500):
    launched = now - hours(700) + datetime.timedelta(seconds=997 * i)
    gone = launched + hours(1 + i % 7) if i % 5 == 0 else None
    server("tenant-big", f"big-{i}", LARGE if i % 3 else SMALL, launched, gone, "deleted" if gone else "active")
database.commit()

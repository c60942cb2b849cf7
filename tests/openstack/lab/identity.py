#!/usr/bin/python3
"""Keystone's people and catalogue.

identity.py seed KEYSTONE_URL HEAT_URL NOVA_URL DCS_URL TLS_URL DATA   finds or makes all of it; writes clouds.yaml, projects.json
identity.py password KEYSTONE_URL USER NEW                       changes a password
identity.py revoke KEYSTONE_URL USER                             ends every token of a user
identity.py delete-credential KEYSTONE_URL NAME                  deletes an application credential
identity.py fleet KEYSTONE_URL DATA COUNT                        a user with a role in many projects; writes fleet.json
identity.py delete-project KEYSTONE_URL PROJECT                  deletes a project
identity.py disable-project KEYSTONE_URL PROJECT                 disables a project
identity.py remove-role KEYSTONE_URL USER PROJECT                takes a user's roles in a project away, or in all
identity.py listed KEYSTONE_URL DATA COUNT                       a user with a role in projects below one; writes listed.json
identity.py create-project KEYSTONE_URL NAME PARENT USER         creates a project below another; the user is a reader in it
identity.py update-project KEYSTONE_URL PROJECT KEY VALUE        sets the name of a project, or its tags by comma
"""
import json
import pathlib
import sys

from keystoneauth1 import session
from keystoneauth1.identity import v3
from keystoneclient.v3 import client

ADMIN_PASSWORD, SERVICE_PASSWORD = "admin-secret", "service-secret"
PROJECTS = ("service", "tenant-a", "tenant-empty", "tenant-big")
# Name: password, and role by project. `changing` and `leaver` are those to whom things happen.
USERS = {
    "heat": (SERVICE_PASSWORD, {"service": "admin"}),
    "nova": (SERVICE_PASSWORD, {"service": "admin"}),
    "operator": ("operator-secret", {"admin": "admin"}),
    "reader": ("reader-secret", {"tenant-a": "reader"}),
    "changing": ("changing-secret", {"admin": "admin"}),
    "leaver": ("leaver-secret", {"admin": "admin"}),
    # Has no role of its own: what it may do, the operator entrusts to it.
    "trustee": ("trustee-secret", {}),
}
CREDENTIALS = ("operator", "leaver")
# What an application credential with access rules may ask. Nova alone: neither Heat nor Keystone.
ACCESS_RULES = [{"service": "compute", "method": "GET", "path": "/v2.1/os-simple-tenant-usage/*"}]
# Its user also has roles on the whole system, and an entry `system` in clouds.yaml.
SYSTEM = ("operator", ("admin", "reader"))
# What projects.json calls `unknown`: Keystone has no such project.
UNKNOWN = "f" * 32


def keystone(url, user, password, project):
    auth = v3.Password(auth_url=url, username=user, password=password, user_domain_id="default",
                       project_name=project, project_domain_id="default")
    return client.Client(session=session.Session(auth))


def find(manager, name, **where):
    return next((found for found in manager.list(**where) if found.name == name), None)


def seed(url, heat_url, nova_url, dcs_url, tls_url, data):
    admin = keystone(url, "admin", ADMIN_PASSWORD, "admin")
    data = pathlib.Path(data)
    projects = {p.name: p for p in admin.projects.list()}
    for name in PROJECTS:
        projects[name] = projects.get(name) or admin.projects.create(name, "default")
    roles = {role.name: role for role in admin.roles.list()}
    users = {u.name: u for u in admin.users.list(domain="default")}
    for name, (password, grants) in USERS.items():
        if name not in users:
            users[name] = admin.users.create(name, domain="default", password=password)
            for project, role in grants.items():
                admin.roles.grant(roles[role], user=users[name], project=projects[project])
        elif name == "changing":
            admin.users.update(users[name], password=password, enabled=True)
    watcher, grants = SYSTEM
    for role in grants:
        admin.roles.grant(roles[role], user=users[watcher], system="all")
    endpoints(admin, "heat", "orchestration", f"{heat_url}/v1/$(tenant_id)s")
    endpoints(admin, "nova", "compute", f"{nova_url}/v2.1")
    if dcs_url != "none":
        endpoints(admin, "dcs", "dcs", f"{dcs_url}/v1.0/$(tenant_id)s")
    entries = {name: {"auth_type": "password", "auth": {
        "auth_url": url, "username": name, "password": password, "project_name": next(iter(grants)),
        "user_domain_name": "Default", "project_domain_name": "Default"}}
        for name, (password, grants) in USERS.items() if grants}
    for name in CREDENTIALS:
        kept = credential(url, name, users[name].id, data / f"credential-{name}.json")
        entries[f"{name}-ac"] = {"auth_type": "v3applicationcredential", "auth": {
            "auth_url": url, "application_credential_id": kept["id"],
            "application_credential_secret": kept["secret"]}}
    rules = credential(url, "operator", users["operator"].id, data / "credential-rules.json", "rules", ACCESS_RULES)
    entries["rules"] = {"auth_type": "v3applicationcredential", "auth": {
        "auth_url": url, "application_credential_id": rules["id"],
        "application_credential_secret": rules["secret"]}}
    entries["trustee"] = {"auth_type": "password", "auth": {
        "auth_url": url, "username": "trustee", "password": USERS["trustee"][0], "user_domain_name": "Default",
        "trust_id": trust(url, users, projects["admin"].id)}}
    # An administrator of the domain has a token for no project.
    admin.roles.grant(roles["admin"], user=users["operator"], domain="default")
    entries["domain"] = {"auth_type": "password", "auth": {
        "auth_url": url, "username": "operator", "password": USERS["operator"][0], "user_domain_name": "Default",
        "domain_id": "default"}}
    entries["tls"] = {"auth_type": "password", "auth": entries["operator"]["auth"] | {"auth_url": tls_url}}
    entries["system"] = {"auth_type": "password", "auth": {
        "auth_url": url, "username": watcher, "password": USERS[watcher][0], "user_domain_name": "Default",
        "system_scope": "all"}}
    # JSON is YAML.
    clouds = {"clouds": {name: entry | {"region_name": "RegionOne"} for name, entry in entries.items()}}
    write(data / "clouds.yaml", clouds)
    write(data / "projects.json", {name: project.id for name, project in projects.items()} | {"unknown": UNKNOWN})


def endpoints(admin, name, kind, url):
    service = find(admin.services, name) or admin.services.create(name, type=kind)
    there = admin.endpoints.list(service=service.id)
    if not there:
        admin.endpoints.create(service.id, url, interface="public", region="RegionOne")
    elif there[0].url != url:
        admin.endpoints.update(there[0].id, url=url)


def trust(url, users, project):
    """What the operator entrusts to the trustee: its own role in its own project."""
    own = keystone(url, "operator", USERS["operator"][0], "admin")
    trustor, trustee = users["operator"].id, users["trustee"].id
    there = own.trusts.list(trustor_user=trustor, trustee_user=trustee)
    made = there[0] if there else own.trusts.create(
        trustee, trustor, role_names=["admin"], project=project, impersonation=False)
    return made.id


def credential(url, user, user_id, file, name=None, access_rules=None):
    """Only its user can make one, and its secret is told once."""
    name = name or user
    own = keystone(url, user, USERS[user][0], "admin")
    there = find(own.application_credentials, name, user=user_id)
    if there and file.exists():
        return json.loads(file.read_text())
    if there:
        own.application_credentials.delete(there.id, user=user_id)
    made = own.application_credentials.create(name, user=user_id, access_rules=access_rules)
    write(file, {"id": made.id, "secret": made.secret})
    return {"id": made.id, "secret": made.secret}


def delete_credential(url, name):
    own = keystone(url, name, USERS[name][0], "admin")
    user = own.session.get_user_id()
    own.application_credentials.delete(find(own.application_credentials, name, user=user).id, user=user)


def password(url, name, new):
    admin = keystone(url, "admin", ADMIN_PASSWORD, "admin")
    admin.users.update(find(admin.users, name, domain="default"), password=new)


def revoke(url, name):
    """Whoever is disabled loses every token, and does not get them back."""
    admin = keystone(url, "admin", ADMIN_PASSWORD, "admin")
    user = find(admin.users, name, domain="default")
    admin.users.update(user, enabled=False)
    admin.users.update(user, enabled=True)


def fleet(url, data, count):
    """The user `fleet` is an administrator in the project `admin`, and a reader in the others."""
    admin = keystone(url, "admin", ADMIN_PASSWORD, "admin")
    roles = {role.name: role for role in admin.roles.list()}
    there = {project.name: project for project in admin.projects.list()}
    user = find(admin.users, "fleet", domain="default") or admin.users.create("fleet", domain="default")
    admin.users.update(user, password="fleet-secret")
    admin.roles.grant(roles["admin"], user=user, project=there["admin"])
    ids = []
    for number in range(int(count)):
        name = f"fleet-{number:03}"
        project = there.get(name)
        if project and not project.enabled:
            admin.projects.update(project, enabled=True)
        project = project or admin.projects.create(name, "default")
        admin.roles.grant(roles["reader"], user=user, project=project)
        ids.append(project.id)
    write(pathlib.Path(data) / "fleet.json", ids)


def delete_project(url, project):
    keystone(url, "admin", ADMIN_PASSWORD, "admin").projects.delete(project)


def disable_project(url, project):
    keystone(url, "admin", ADMIN_PASSWORD, "admin").projects.update(project, enabled=False)


def remove_role(url, name, project):
    admin = keystone(url, "admin", ADMIN_PASSWORD, "admin")
    user = find(admin.users, name, domain="default")
    projects = [project] if project != "all" else admin.projects.list(user=user)
    for project in projects:
        for role in admin.roles.list(user=user, project=project):
            admin.roles.revoke(role, user=user, project=project)


def listed(url, data, count):
    """The user `lister` is a reader in new projects below the project `listed`, and in no other."""
    admin = keystone(url, "admin", ADMIN_PASSWORD, "admin")
    there = find(admin.users, "lister", domain="default")
    if there:
        admin.users.delete(there)
    admin.users.create("lister", domain="default", password="lister-secret")
    parent = find(admin.projects, "listed") or admin.projects.create("listed", "default")
    for project in admin.projects.list(parent=parent):
        admin.projects.delete(project)
    made = [create_project(url, f"set-{number}", parent.id, "lister") for number in range(int(count))]
    write(pathlib.Path(data) / "listed.json", {"parent": parent.id, "projects": made})


def create_project(url, name, parent, user):
    admin = keystone(url, "admin", ADMIN_PASSWORD, "admin")
    project = admin.projects.create(name, "default", parent=parent)
    reader = find(admin.roles, "reader")
    admin.roles.grant(reader, user=find(admin.users, user, domain="default"), project=project)
    return project.id


def update_project(url, project, key, value):
    admin = keystone(url, "admin", ADMIN_PASSWORD, "admin")
    if key == "tags":
        admin.projects.update_tags(project, value.split(","))
    else:
        admin.projects.update(project, **{key: value})


def write(file, what):
    file.touch(mode=0o600)
    file.write_text(json.dumps(what, indent=2) + "\n")


if __name__ == "__main__":
    commands = {"seed": seed, "password": password, "revoke": revoke, "delete-credential": delete_credential,
                "fleet": fleet, "delete-project": delete_project, "disable-project": disable_project,
                "remove-role": remove_role, "listed": listed, "create-project": create_project,
                "update-project": update_project}
    commands[sys.argv[1]](*sys.argv[2:])

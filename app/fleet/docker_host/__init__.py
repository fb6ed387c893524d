"""One device, spoken to through its own Docker; the only room that imports the SDK and paramiko."""

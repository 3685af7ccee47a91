"""The database: engine, tables, migrations, and every SQL statement."""

"""Widen: what anyone changed of their own is found by its generation, for live devices."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("conversations", "0002_own_changes")]

    operations = [
        migrations.AddIndex(
            model_name="participant",
            index=models.Index(fields=["gen"], name="participant_gen"),
        ),
    ]

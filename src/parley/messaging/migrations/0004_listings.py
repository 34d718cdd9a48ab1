"""Widen: listings, which keep the lists of heavy readers ready; of nobody until one is named."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0003_admin_lists"),
        ("conversations", "0002_own_changes"),
        ("messaging", "0003_read_function"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Following",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("followed", models.BigIntegerField()),
            ],
        ),
        migrations.CreateModel(
            name="HeavyReader",
            fields=[
                (
                    "user",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("is_complete", models.BooleanField(default=False)),
            ],
        ),
        migrations.CreateModel(
            name="Listing",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "user_id",
                        "conversation_id",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("shelf", models.SmallIntegerField()),
                ("active_gen", models.BigIntegerField()),
                ("active_at", models.DateTimeField()),
                ("changed_gen", models.BigIntegerField()),
                (
                    "conversation",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="conversations.conversation",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(
                        fields=["user", "shelf", "active_gen", "active_at", "conversation"],
                        name="listing_inbox",
                    ),
                    models.Index(
                        fields=["user", "shelf", "active_at", "conversation"],
                        name="listing_by_time",
                    ),
                    models.Index(
                        fields=["user", "changed_gen", "conversation"], name="listing_changed_since"
                    ),
                    models.Index(fields=["conversation", "shelf"], name="listing_heavy_readers"),
                ],
            },
        ),
    ]

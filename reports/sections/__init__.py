"""The sections of the page, one file each, alike: :class:`reports.page.SectionFile`. None imports another."""
